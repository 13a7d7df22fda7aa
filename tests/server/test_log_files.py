"""The files of the log: bounded in bytes as well as in hours, and never in the way."""

import logging
import time
from io import StringIO
from pathlib import Path

import pytest
import structlog

from mmids_trio.server.log_files import SHARES, BoundedLogFiles, LogFileCounts
from mmids_trio.server.log_repeats import LogRepeats
from mmids_trio.server.logs import FILE_NAME, KEPT_FILES, Logging, configure

MAX_BYTES = 64 * 1024


class Hours:
    """The calendar, which stands until it is moved."""

    def __init__(self) -> None:
        self.now = time.time()  # new files bear it


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()
    monkeypatch.setattr(time, "time", lambda: hours.now)
    return hours


def handler_of(path: Path, counts: LogFileCounts | None = None, kept: int = KEPT_FILES) -> BoundedLogFiles:
    handler = BoundedLogFiles(path, kept=kept, max_bytes=MAX_BYTES, counts=counts or LogFileCounts())
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def write(handler: logging.Handler, text: str) -> None:
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, text, None, None))


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


@pytest.mark.thorough
def test_all_files_together_never_have_more_bytes_than_they_may(tmp_path: Path, hours: Hours) -> None:
    counts = LogFileCounts()
    handler = handler_of(tmp_path / FILE_NAME, counts)
    for number in range(2000):
        write(handler, f"{number:06} {'x' * 500}")
        assert size_of(tmp_path) <= MAX_BYTES
        hours.now += 10
    handler.close()
    assert size_of(tmp_path) > MAX_BYTES * (SHARES - 2) / SHARES
    assert counts.dropped_bytes == 2000 * 508 - size_of(tmp_path)
    assert (tmp_path / FILE_NAME).read_text().splitlines()[-1].startswith("001999 ")


def test_the_oldest_go_first_and_nothing_between(tmp_path: Path, hours: Hours) -> None:
    handler = handler_of(tmp_path / FILE_NAME)
    for number in range(500):
        write(handler, f"{number:06} {'x' * 500}")
    rolled = handler._rolled()
    handler.close()
    assert len({file.hour for file in rolled}) == 1
    assert [file.number for file in rolled] == list(range(rolled[0].number, rolled[-1].number + 1))
    texts = [*(file.path.read_text() for file in rolled), (tmp_path / FILE_NAME).read_text()]
    numbers = [int(line.split()[0]) for text in texts for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 500))


def test_files_of_hours_that_are_not_kept_go_and_are_no_breach(tmp_path: Path, hours: Hours) -> None:
    counts = LogFileCounts()
    handler = handler_of(tmp_path / FILE_NAME, counts, kept=3)
    for _ in range(10):
        write(handler, "one")
        hours.now += 3600
    handler.close()
    assert len(list(tmp_path.iterdir())) == 4
    assert counts.dropped_bytes == 0


def test_a_start_with_more_than_may_be_makes_room(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{FILE_NAME}.2020-01-01_0{number}").write_text("x" * MAX_BYTES)
    (tmp_path / "mmids.log.gz").write_text("not ours")
    (tmp_path / FILE_NAME).write_text("y" * MAX_BYTES)
    handler = handler_of(tmp_path / FILE_NAME)
    write(handler, "z")
    handler.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE_NAME, "mmids.log.gz"]
    assert (tmp_path / FILE_NAME).read_text() == "z\n"


def test_lines_that_cannot_be_written_are_counted_and_told_once(
    tmp_path: Path, hours: Hours, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = LogFileCounts()
    handler = handler_of(tmp_path / "logs", counts)
    handler.close()
    handler.stream = None  # as after a file could not be begun
    (tmp_path / "logs").unlink()
    (tmp_path / "logs").mkdir()
    for _ in range(100):
        write(handler, "lost")
    assert counts.lost_lines == 100
    assert capsys.readouterr().err.count("Logging error") == 1
    (tmp_path / "logs").rmdir()
    write(handler, "kept")
    handler.close()
    assert (tmp_path / "logs").read_text() == "kept\n"


@pytest.mark.thorough
def test_the_log_of_a_server_is_bounded_in_bytes(tmp_path: Path) -> None:
    bounds = Logging(max_bytes=MAX_BYTES, repeats=LogRepeats(1_000_000))
    with configure(level=logging.INFO, directory=tmp_path, console=StringIO(), bounds=bounds):
        for number in range(1000):
            structlog.get_logger().info("odd", number=number, stream="x" * 60_000)
    assert size_of(tmp_path) <= MAX_BYTES
    assert bounds.files.dropped_bytes > 0
