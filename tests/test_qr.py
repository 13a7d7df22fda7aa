"""QR codes: what a reader of them gets out again, and what does not fit."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mmids_trio.qr import MAX_BYTES, encode, for_terminal

ADDRESS = "http://192.168.178.23:8080/live/"
LENGTHS = (1, 17, 18, 53, 78, 106, 134, 154, 192, MAX_BYTES)
"""The most that each version holds."""


def text(length: int) -> str:
    return (ADDRESS + "x" * length)[:length]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_smallest_version_is_taken_that_holds_the_text(length: int) -> None:
    code = encode(text(length))
    version = 1 + sum(length > most for most in (17, 32, 53, 78, 106, 134, 154, 192))
    assert len(code) == 17 + 4 * version
    assert {len(row) for row in code} == {len(code)}


@pytest.mark.skipif(shutil.which("zbarimg") is None, reason="not installed: zbar-tools")
@pytest.mark.parametrize("length", LENGTHS)
def test_a_reader_gets_the_text_out_again(length: int, tmp_path: Path) -> None:
    code, scale = encode(text(length)), 6
    size = len(code) + 8
    framed = [[False] * size] * 4 + [[False] * 4 + row + [False] * 4 for row in code] + [[False] * size] * 4
    pixels = (str(int(not dark)) for row in framed for _ in range(scale) for dark in row for _ in range(scale))
    picture = tmp_path / "code.pgm"
    picture.write_text(f"P2\n{size * scale} {size * scale}\n1\n" + "\n".join(pixels) + "\n")
    read = subprocess.run(["zbarimg", "-q", "--raw", str(picture)], capture_output=True, check=True, timeout=30)
    assert read.stdout.decode().strip() == text(length)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match=f"holds {MAX_BYTES} bytes, not {MAX_BYTES + 1}"):
        encode(text(MAX_BYTES + 1))


def test_a_terminal_shows_two_rows_in_each_line() -> None:
    code = encode("x")
    plain = for_terminal(code, colours=False).splitlines()
    assert len(plain) == (len(code) + 5) // 2
    assert {len(line) for line in plain} == {len(code) + 4}
    assert set("".join(plain)) <= set("█▀▄ ")
    assert plain[0] == "█" * (len(code) + 4), "a margin"
    coloured = for_terminal(code, colours=True).splitlines()
    assert all(line.startswith("\x1b[97;40m") and line.endswith("\x1b[0m") for line in coloured)
