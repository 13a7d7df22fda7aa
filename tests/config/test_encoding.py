"""Bytes that are UTF-8, and a place for those that are not."""

import pytest

from mmids_trio.config.encoding import decode
from mmids_trio.errors import ConfigurationError, Problem


def refusal(data: bytes) -> Problem:
    with pytest.raises(ConfigurationError) as raised:
        decode(data, "file")
    [problem] = raised.value.problems
    return problem


@pytest.mark.parametrize("text", ["", "a", "größe 日本 🎬\r\n"])
def test_utf_8_is_decoded_with_or_without_a_byte_order_mark(text: str) -> None:
    assert decode(text.encode(), "file") == text
    assert decode(text.encode("utf-8-sig"), "file") == text


@pytest.mark.parametrize(
    ("data", "line", "column", "byte", "source"),
    [
        (b"\xff", 1, 1, "0xFF", "\ufffd"),
        (b"ok\n\xc3\xa4\xc3\xa4x\xe4y\r\nz", 2, 4, "0xE4", "ääx\ufffdy"),
        (b"ok\ntwo \xc3", 2, 5, "0xC3", "two \ufffd"),
        (b"\xef\xbb\xbfa\xfe", 1, 2, "0xFE", "a\ufffd"),
        (b"\xed\xa0\x80", 1, 1, "0xED", "\ufffd\ufffd\ufffd"),
    ],
)
def test_what_is_not_utf_8_has_a_line_a_column_and_a_byte(
    data: bytes, line: int, column: int, byte: str, source: str
) -> None:
    problem = refusal(data)
    assert (problem.place.line, problem.place.column, problem.place.source) == (line, column, source)
    assert problem.message == f"byte {byte} is not UTF-8 here; expected a text file in UTF-8"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(encoding: str) -> None:
    problem = refusal("\ufeffsettings {".encode(encoding))
    assert problem.place.column == 1
    assert problem.message.endswith("(this one looks like UTF-16)")


def test_a_very_long_line_is_not_quoted_whole() -> None:
    place = refusal(b"x" * 1_000_000 + b"\xff").place
    assert (place.column, len(place.source)) == (1, 80)
