"""The log file of one child: lazy, rotated, and never in the way."""

import os
from itertools import count
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mmids_trio.ffmpeg.stderr_log import (
    KEPT_LINES,
    LIMITS,
    LONGEST_KEPT_LINE,
    MAX_BYTES_BURST,
    MAX_BYTES_RATE,
    MAX_FILE_BYTES,
    MAX_LINES_BURST,
    MAX_LINES_RATE,
    StderrLog,
    log_path,
)
from tests.support.children import open_files


@pytest.fixture
def log(tmp_path: Path) -> StderrLog:
    return StderrLog(tmp_path / "ffmpeg" / "a-1-b.log", now=lambda: 0.0)


def test_the_file_appears_with_the_first_line(log: StderrLog) -> None:
    log.receive(b"no line ye")
    assert not log.path.exists()
    log.receive(b"t\n")
    assert log.path.read_text() == "1970-01-01T00:00:00.000+00:00 no line yet\n"
    log.close()


def test_closing_leaves_no_handle_and_more_lines_are_appended(log: StderrLog) -> None:
    for _ in range(50):
        log.receive(b"a line\n")
        log.close()
    assert str(log.path) not in set(open_files())
    assert len(log.path.read_text().splitlines()) == 50


@pytest.mark.thorough
def test_three_files_of_a_mebibyte_are_kept_at_most(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "ffmpeg" / "a-1-b.log", now=lambda: 0.0, clock=count().__next__)
    for number in range(5 * MAX_FILE_BYTES // 1000):
        log.receive(b"%06d " % number + b"x" * 1000 + b"\n")
    log.close()
    files = sorted(log.path.parent.iterdir())
    assert [file.name for file in files] == ["a-1-b.log", "a-1-b.log.1", "a-1-b.log.2"]
    assert all(MAX_FILE_BYTES / 2 < file.stat().st_size <= MAX_FILE_BYTES for file in files[1:])
    numbers = [int(line.split()[1]) for file in reversed(files) for line in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 5 * MAX_FILE_BYTES // 1000))


def test_the_last_lines_are_those_of_the_current_start(log: StderrLog) -> None:
    log.begin(["ffmpeg"])
    log.receive(b"".join(b"line %d\n" % number for number in range(20)))
    assert list(log.last_lines) == [f"line {number}" for number in range(20 - KEPT_LINES, 20)]
    log.begin(["ffmpeg"])
    log.receive(b"unfinished")
    log.end("exited with status 1")
    assert list(log.last_lines) == ["unfinished"]
    log.close()


def test_a_long_line_is_shorter_in_the_message_than_in_the_file(log: StderrLog) -> None:
    log.receive(b"x" * 1000 + b"\n")
    log.close()
    assert list(log.last_lines) == ["x" * LONGEST_KEPT_LINE]
    assert "x" * 1000 in log.path.read_text()


def test_neither_lines_nor_the_command_show_secrets(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "x.log", secrets=["sesame"], now=lambda: 0.0)
    log.begin(["ffmpeg", "-i", "rtmp://host/live/abc", "sesame"])
    log.receive(b"rtmp://host/live/abc: no such stream 'sesame'\n")
    log.close()
    assert "sesame" not in log.path.read_text()
    assert "abc" not in log.path.read_text()
    assert list(log.last_lines) == ["rtmp://host/live/***: no such stream '***'"]


def test_a_file_that_cannot_be_written_costs_one_warning_and_no_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = StderrLog(tmp_path / "file" / "x.log")
    with capture_logs() as logged:
        log.begin(["ffmpeg"])
        log.receive(b"one\ntwo\n")
        log.receive(b"three\n")
    assert [entry["event"] for entry in logged] == ["cannot write the log of a child"]
    assert list(log.last_lines) == ["one", "two", "three"]


HOSTILE = ["../x", "a/b", "%2e%2e", "a\0b", "x" * 300, "-x", ".hidden", "..", "", "a b", "ä", "a_b", "\ud800"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    path = log_path(tmp_path, name, "12", name)
    assert path.parent == tmp_path / "ffmpeg"
    assert len(os.fsencode(path.name)) < 255
    assert not path.name.startswith(".")
    log = StderrLog(path)
    log.note("can be written")
    log.close()
    assert path.exists()


def test_different_names_have_different_files(tmp_path: Path) -> None:
    assert len({log_path(tmp_path, "w", "12", name) for name in HOSTILE}) == len(HOSTILE)


def test_harmless_names_stay_as_they_are(tmp_path: Path) -> None:
    assert log_path(tmp_path, "news", "123", "cam-1.main") == tmp_path / "ffmpeg" / "news-123-cam-1.main.log"


def test_a_stream_key_with_a_mistyped_query_names_no_file_after_its_token(tmp_path: Path) -> None:
    paths = {log_path(tmp_path, "w", "12", f"k6&token={token}") for token in ("sesame", "simsim")}
    assert len(paths) == 2
    assert not [path for path in paths if "sesame" in path.name or "simsim" in path.name]


class Flooded:
    """A child's log under a flood, with a clock that stands until it is moved."""

    def __init__(self, path: Path) -> None:
        self.time = 0.0
        self.left_out = 0
        self.log = StderrLog(path, now=lambda: 0.0, clock=lambda: self.time, on_left_out=self.count)

    def count(self, lines: int) -> None:
        self.left_out += lines

    def lines(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.log.path.read_text().splitlines()]


@pytest.fixture
def flooded(tmp_path: Path) -> Flooded:
    return Flooded(tmp_path / "x.log")


@pytest.mark.thorough
def test_a_flood_of_lines_costs_its_allowance_and_one_line_that_counts_the_rest(flooded: Flooded) -> None:
    for _ in range(100_000):
        flooded.log.receive(b"again\n")
    assert flooded.lines() == ["again"] * MAX_LINES_BURST
    flooded.time += 1
    for _ in range(100_000):
        flooded.log.receive(b"again\n")
    left_out = 100_000 - MAX_LINES_BURST
    assert flooded.lines()[MAX_LINES_BURST:] == [
        f"[supervisor] {left_out} lines left out ({left_out * 6} bytes): {LIMITS}",
        *["again"] * MAX_LINES_RATE,
    ]
    assert flooded.left_out == 200_000 - MAX_LINES_BURST - MAX_LINES_RATE
    flooded.log.close()


def test_a_flood_of_long_lines_is_bounded_in_bytes(flooded: Flooded) -> None:
    for second in range(10):
        flooded.time = second
        for _ in range(1000):
            flooded.log.receive(b"x" * 1023 + b"\n")
    flooded.log.close()
    assert flooded.log.path.stat().st_size < (MAX_BYTES_BURST + 9 * MAX_BYTES_RATE) * 1.1
    assert flooded.left_out == 10_000 - (MAX_BYTES_BURST + 9 * MAX_BYTES_RATE) // 1024


def test_the_last_lines_of_a_child_that_ends_in_a_flood_say_why(flooded: Flooded) -> None:
    for _ in range(1000):
        flooded.log.receive(b"again\n")
    flooded.log.receive(b"x" * 5000 + b" rtmp://host/live/sesame?token=sesame\nNo space left\nConversion failed!")
    flooded.log.end("exited with status 1")
    assert list(flooded.log.last_lines)[-3:] == ["again", "No space left", "Conversion failed!"]
    assert flooded.lines()[-3:] == ["No space left", "Conversion failed!", "[supervisor] exited with status 1"]
    assert "sesame" not in flooded.log.path.read_text()


def test_a_line_that_a_gap_went_through_is_left_out_whole(flooded: Flooded) -> None:
    flooded.log.receive(b"again\n" * MAX_LINES_BURST + b"begun rtmp://me:ses")
    flooded.log.receive(b"ame@host/ and\nended\nnext")
    flooded.time += 1
    flooded.log.receive(b" of it\nwhole\n")
    flooded.log.close()
    assert flooded.lines()[MAX_LINES_BURST:] == [f"[supervisor] 2 lines left out (24 bytes): {LIMITS}", "whole"]
