"""The file of a tape: new, for its owner alone, and written to the end."""

import errno
import os
from pathlib import Path

import pytest
import trio

from mmids_trio.capture.file import CannotCapture, TapeFile


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x.mmtape"
    path.write_bytes(b"precious")
    with pytest.raises(CannotCapture, match="File exists"):
        TapeFile.create(path)
    assert path.read_bytes() == b"precious"


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotCapture, match=r"cannot capture to .*/none/x.mmtape: No such file"):
        TapeFile.create(tmp_path / "none" / "x.mmtape")


async def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x.mmtape"
    file = TapeFile.create(path)
    await file.write(b"one")
    await file.write(b"two")
    file.close()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert await trio.Path(path).read_bytes() == b"onetwo"


async def test_a_write_that_was_begun_is_finished_whoever_cancels(tmp_path: Path) -> None:
    path = tmp_path / "x.mmtape"
    file = TapeFile.create(path)
    with trio.CancelScope() as scope:
        scope.cancel()
        await file.write(b"whole")
    file.close()
    assert await trio.Path(path).read_bytes() == b"whole"


async def test_a_full_disk_is_an_error_and_the_file_is_closed_after_it() -> None:
    file = TapeFile(open("/dev/full", "wb", buffering=0))  # noqa: SIM115, ASYNC230 - closed below
    with pytest.raises(OSError, match="No space left") as caught:
        await file.write(b"x")
    assert caught.value.errno == errno.ENOSPC
    file.close()
