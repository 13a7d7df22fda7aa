"""Which files count, in which order, and what is said of those that do not."""

import io
import os
from pathlib import Path

import pytest

from mmids_trio.cli.client.failures import ClientError, Unusable
from mmids_trio.cli.client.files import MAX_TEXT_BYTES, read_all


def write(file: Path, name: str) -> str:
    """A file with one workflow."""
    file.write_text(f"workflow {name} {{\n    rtmp_receive rtmp_app=a stream_key={name}\n}}\n")
    return str(file)


def names(*paths: Path | str) -> list[str]:
    """The workflows that files and directories define."""
    return [workflow.name for workflow in read_all([str(path) for path in paths]).workflows]


def test_a_directory_is_its_mmids_files_by_name(tmp_path: Path) -> None:
    for name in ("b.mmids", "a.mmids", "10.mmids", ".hidden.mmids", "c.txt", "mmids"):
        write(tmp_path / name, "w" + name.partition(".")[0])
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "d.mmids", "d")
    assert names(tmp_path) == ["w10", "wa", "wb"]


def test_files_come_in_the_order_in_which_they_are_named_and_once(tmp_path: Path) -> None:
    first, second = write(tmp_path / "x.mmids", "x"), write(tmp_path / "a.config", "a")
    assert names(first, second) == ["x", "a"]
    assert names(second, tmp_path, first, f"{tmp_path}/./x.mmids") == ["a", "x"]


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"workflow x {\n}}\n")))
    with pytest.raises(Unusable, match=r"<stdin>:2:2"):
        names("-")


def test_a_directory_without_files_is_an_error_and_not_a_wish_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"there is no \*.mmids file in the directory .*; nothing was sent"):
        names(tmp_path)


def test_what_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"cannot read .*absent: No such file or directory; nothing was sent"):
        names(tmp_path / "absent")


def test_bytes_that_are_no_text_have_a_place(tmp_path: Path) -> None:
    (tmp_path / "a.mmids").write_bytes(b"# \xff\n")
    with pytest.raises(Unusable, match=r"a.mmids:1:3: byte 0xFF is not UTF-8"):
        names(tmp_path)


def test_more_than_a_request_may_bring_is_refused_before_it_is_read_whole(tmp_path: Path) -> None:
    for name in ("a.mmids", "b.mmids"):
        with (tmp_path / name).open("wb") as file:
            os.truncate(file.fileno(), MAX_TEXT_BYTES // 2 + 1)
    with pytest.raises(ClientError, match="larger than 16 MiB together"):
        names(tmp_path)
