"""What a message shows of the place that it is about."""

import pytest

from mmids_trio.errors import SHOWN_WIDTH, Place, printable


def pointed_at(place: Place) -> tuple[str, str]:
    """The line as shown, without the indentation, and the character above the caret."""
    line, caret = place.pointer().split("\n")
    return line[4:], (line + " ")[caret.index("^")]


def test_a_short_line_is_shown_whole_with_its_tabs() -> None:
    assert Place("f", 1, 4, "\ta=b # ü").pointer() == "    \ta=b # ü\n    \t  ^"


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (1, "0" + "a" * (SHOWN_WIDTH - 1) + "…"),
        (SHOWN_WIDTH // 2 + 1, "0" + "a" * (SHOWN_WIDTH - 1) + "…"),
        (SHOWN_WIDTH // 2 + 2, "…" + "a" * SHOWN_WIDTH + "…"),
        (500, "…" + "a" * SHOWN_WIDTH + "…"),
        (1_000, "…" + "a" * (SHOWN_WIDTH - 1) + "9"),
        (1_001, "…" + "a" * (SHOWN_WIDTH - 1) + "9"),
    ],
)
def test_of_a_long_line_what_stands_around_the_column_is_shown(column: int, shown: str) -> None:
    source = "0" + "a" * 998 + "9"
    assert pointed_at(Place("f", 1, column, source)) == (shown, (source + " ")[column - 1])


def test_a_line_of_just_the_width_is_shown_whole() -> None:
    assert pointed_at(Place("f", 1, 100, "x" * SHOWN_WIDTH)) == ("x" * SHOWN_WIDTH, "x")


def test_what_a_terminal_would_obey_is_escaped_and_the_caret_stays_below_its_character() -> None:
    assert pointed_at(Place("f", 1, 7, "a\x1b[2J=\x9b\u202e\ud800")) == (r"a\x1b[2J=\x9b\u202e\ud800", "\\")
    assert pointed_at(Place("f", 1, 6, "a\x1b[2J=\0")) == (r"a\x1b[2J=\x00", "=")


def test_text_is_made_printable() -> None:
    assert printable("größe 大") == "größe 大"
    assert printable("a\tb\r\n") == r"a\tb\r\n"
    assert printable("a\tb\r", kept="\t") == "a\tb\\r"
