"""How unknown words are shown, and which known word is offered instead."""

import pytest

from mmids_trio.config.suggestions import did_you_mean, shown

STEPS = ["rtmp_receive", "rtmp_watch", "ffmpeg_hls", "ffmpeg_pull", "ffmpeg_push"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("rtmp_recieve", "rtmp_receive"),
        ("RTMP_WATCH", "rtmp_watch"),
        ("hls", None),
        ("", None),
        ("ffmpeg_pul", "ffmpeg_pull"),
    ],
)
def test_the_nearest_known_word_is_offered_if_it_is_near(word: str, meant: str | None) -> None:
    assert did_you_mean(word, STEPS) == (f"; did you mean '{meant}'?" if meant else "")


def test_the_order_of_the_known_words_does_not_matter() -> None:
    assert (
        did_you_mean("ffmpeg_p", STEPS) == did_you_mean("ffmpeg_p", set(STEPS)) == did_you_mean("ffmpeg_p", STEPS[::-1])
    )


def test_the_order_of_words_that_differ_in_case_alone_does_not_matter() -> None:
    assert did_you_mean("ab", ["AB", "Ab"]) == did_you_mean("ab", ["Ab", "AB"]) != ""


def test_words_of_absurd_length_are_not_compared() -> None:
    assert did_you_mean("a" * 65, ["a" * 65]) == ""


@pytest.mark.parametrize(
    ("word", "expected"),
    [("ü", "'ü'"), ("\x1b[2J", r"'\x1b[2J'"), ("a" * 60, f"'{'a' * 60}'"), ("a" * 61, f"'{'a' * 60}…'")],
)
def test_a_word_is_shown_short_and_printable(word: str, expected: str) -> None:
    assert shown(word) == expected
