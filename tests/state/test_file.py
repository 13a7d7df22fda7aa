"""The state file: old or new, whichever system call fails or is the last one."""

import os
import stat
from itertools import count
from pathlib import Path

import pytest

from mmids_trio.state.file import StateError, StateFile
from tests.support.disk import STATE, Crash, Disk, Inode

OLD, NEW = b"what was", b"what is to be"


def disk_with_old(**options: object) -> Disk:
    disk = Disk(**options)  # type: ignore[arg-type]  # fields of it
    inode = Inode(OLD, OLD)
    disk.seen, disk.kept = {STATE: inode}, {STATE: inode}
    return disk


def number_of_calls() -> int:
    disk = disk_with_old()
    StateFile(Path(STATE), disk).replace(NEW)
    return len(disk.calls)


EVERY_CALL = [(fatal, late) for fatal in range(number_of_calls()) for late in (False, True)]


def test_a_write_that_ends_is_on_the_disk() -> None:
    disk = disk_with_old()
    StateFile(Path(STATE), disk).replace(NEW)
    assert set(disk.after_crash()) == {NEW}
    assert disk.calls == ["open", *["write"] * 5, "fsync", "close", "replace", "open", "fsync", "close"]


@pytest.mark.parametrize(("fatal", "late"), EVERY_CALL)
def test_a_crash_at_any_call_leaves_the_old_or_the_new(fatal: int, late: bool) -> None:
    disk = disk_with_old(fatal=fatal, late=late, crashes=True)
    with pytest.raises(Crash):
        StateFile(Path(STATE), disk).replace(NEW)
    assert set(disk.after_crash()) <= {OLD, NEW}


@pytest.mark.parametrize(("fatal", "late"), EVERY_CALL)
def test_a_failure_of_any_call_is_reported_and_leaves_the_old_or_the_new(fatal: int, late: bool) -> None:
    disk = disk_with_old(fatal=fatal, late=late)
    with pytest.raises(OSError, match="No space left"):
        StateFile(Path(STATE), disk).replace(NEW)
    assert set(disk.after_crash()) <= {OLD, NEW}
    assert disk.seen[STATE].seen in (OLD, NEW)


@pytest.mark.parametrize(("fatal", "late"), EVERY_CALL)
def test_after_a_failure_of_any_call_the_next_write_succeeds(fatal: int, late: bool) -> None:
    disk = disk_with_old(fatal=fatal, late=late)
    file = StateFile(Path(STATE), disk)
    with pytest.raises(OSError, match="No space left"):
        file.replace(NEW)
    file.replace(b"another")
    assert set(disk.after_crash()) == {b"another"}
    assert set(disk.seen) == {STATE}


def test_a_failed_write_followed_by_a_crash_leaves_the_old_or_the_new() -> None:
    for fatal, late in EVERY_CALL:
        for last in count():
            disk = disk_with_old(fatal=fatal, late=late)
            file = StateFile(Path(STATE), disk)
            with pytest.raises(OSError, match="No space left"):
                file.replace(NEW)
            disk.fatal, disk.crashes = len(disk.calls) + last, True
            try:
                file.replace(b"another")
            except Crash:
                assert set(disk.after_crash()) <= {OLD, NEW, b"another"}
            else:
                break


def test_the_disk_of_these_tests_catches_a_writer_that_does_not_sync() -> None:
    disk = disk_with_old(syncs=False)
    StateFile(Path(STATE), disk).replace(NEW)
    assert not set(disk.after_crash()) <= {OLD, NEW}


def test_a_real_file_is_replaced_and_read_by_nobody_else(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.mmids")
    file.lock()
    assert file.read() is None
    file.replace(OLD)
    file.replace(NEW)
    assert file.read() == NEW
    for path in (file.path, file.lock_path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.mmids", "state.mmids.lock"]
    file.unlock()


def test_what_a_crash_has_left_is_removed_with_the_lock(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "state.mmids")
    file.temporary.write_bytes(b"half of")
    file.lock()
    assert not file.temporary.exists()
    file.unlock()


def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    one, other = StateFile(tmp_path / "state.mmids"), StateFile(tmp_path / "state.mmids")
    one.lock()
    with pytest.raises(StateError, match=r"another server keeps its state in .*state\.mmids; the setting state_path"):
        other.lock()
    one.unlock()
    other.lock()
    other.unlock()


def test_a_server_that_does_not_get_the_file_removes_nothing_of_the_one_that_has_it(tmp_path: Path) -> None:
    one, other = StateFile(tmp_path / "state.mmids"), StateFile(tmp_path / "state.mmids")
    one.lock()
    one.temporary.write_bytes(b"half of")  # it is writing
    with pytest.raises(StateError, match="another server"):
        other.lock()
    assert one.temporary.read_bytes() == b"half of"
    one.unlock()


def test_a_directory_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot keep the state in .*/none/state: No such file"):
        StateFile(tmp_path / "none" / "state").lock()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(StateError, match=r"cannot read the state in .*/state: Is a directory"):
        StateFile(tmp_path / "state").read()


@pytest.mark.thorough
def test_the_largest_file_is_read_in_large_pieces_and_one_byte_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest, reads, read = 64 * 1024 * 1024, 0, os.read

    def counted(descriptor: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        assert reads < 100
        return read(descriptor, length)

    monkeypatch.setattr(os, "read", counted)
    path = tmp_path / "state"
    path.touch()
    os.truncate(path, largest)
    data = StateFile(path).read()
    assert data is not None
    assert len(data) == largest
    reads = 0
    os.truncate(path, largest + 1)
    with pytest.raises(StateError, match=r"cannot read the state in .*: it is larger than 64 MiB"):
        StateFile(path).read()
