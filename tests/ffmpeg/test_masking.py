"""What is kept of the lines that children write: no secrets, bounded, and nothing that steers a terminal."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.masking import LONGEST_LINE, LONGEST_READ, LineReader
from mmids_trio.masking import bare_key, mask


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("rtmp://host/live/sesame: Connection refused", "rtmp://host/live/***: Connection refused"),
        (
            "Output #0, flv, to 'rtmps://host:443/app/inst/sesame':",
            "Output #0, flv, to 'rtmps://host:443/app/inst/***':",
        ),
        ("RTMP://host/live/sesame", "RTMP://host/live/***"),
        ("rtmp://host/live/sesame?token=open", "rtmp://host/live/***?***"),
        ("rtmp://me:sesame@host/live/k", "rtmp://***@host/live/***"),
        ("rtmp://me:s?same@host/live/k", "rtmp://***@host/live/***"),
        ("srt://host:9000?streamid=sesame&latency=200", "srt://host:9000?***"),
        ("https://u:sesame@host/a/b.m3u8?k=sesame, retrying", "https://***@host/a/b.m3u8?***, retrying"),
        ("(https://host/a?k=sesame)", "(https://host/a?***)"),
        ("opening https://host/x/y.ts for reading", "opening https://host/x/y.ts for reading"),
        ("from rtmp://a/b/one to rtmp://c/d/two", "from rtmp://a/b/*** to rtmp://c/d/***"),
        ("rtmp://host", "rtmp://host"),
        ("is it live? yes", "is it live? yes"),
        ("k6&token=sesame;x", "k6&token=***;x"),
        ("k9%3Fplay_token%3Dsesame", "k9%3Fplay_token%3D***"),
        ("k？Token＝sesame end", "k？Token＝*** end"),  # noqa: RUF001
        ("a token of thanks", "a token of thanks"),
    ],
)
def test_what_grants_access_is_masked_in_urls(line: str, masked: str) -> None:
    assert mask(line) == masked


def test_known_secrets_are_masked_anywhere_the_longest_first() -> None:
    assert mask("key open sesame refused, open", ["", "open", "open sesame"]) == "key *** refused, ***"


def test_lines_end_with_newline_carriage_return_or_both() -> None:
    reader = LineReader()
    assert reader.receive(b"one\ntwo\r\n\n\rframe=1\rthr") == ["one", "two", "frame=1"]
    assert reader.receive(b"ee") == []
    assert reader.finish() == ["three"]


def test_invalid_utf_8_survives() -> None:
    assert LineReader().receive("grün".encode() + b" \xff\xfe\n") == ["grün \\xff\\xfe"]


def test_control_characters_are_written_out() -> None:
    assert LineReader().receive(b"a\x1b[2Jb\x00\xc2\x9b\n") == ["a\\x1b[2Jb\\x00\\x9b"]


def test_a_long_line_is_cut_and_its_rest_skipped() -> None:
    reader = LineReader()
    lines = [line for _ in range(100) for line in reader.receive(b"x" * 4096)]
    lines += reader.receive(b"rest\nnext\n")
    assert [len(line) < LONGEST_LINE + 10 for line in lines] == [True, True]
    assert lines[0].startswith("xxx")
    assert lines[0].endswith(" [cut]")
    assert lines[1] == "next"


@pytest.mark.parametrize("padding", [LONGEST_LINE - 10, LONGEST_READ - 20])
def test_a_cut_never_uncovers_a_secret(padding: int) -> None:
    reader = LineReader()
    line = b"x" * padding + b" rtmp://somebody:sesame" + b"s" * LONGEST_READ + b"@host/live/key"
    assert all("sesame" not in kept for kept in [*reader.receive(line), *reader.finish()])


def test_a_url_that_the_cut_runs_through_is_masked_whole() -> None:
    reader = LineReader()
    [line] = reader.receive(b"rtmp://somebody:sesame" + b"s" * LONGEST_READ)
    assert line == "rtmp://***"


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_lines_are_the_same_however_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    whole, pieces = LineReader(), LineReader()
    bounds = [0, *sorted(cuts), len(data)]
    expected = whole.receive(data) + whole.finish()
    parts = [line for start, end in itertools.pairwise(bounds) for line in pieces.receive(data[start:end])]
    assert parts + pieces.finish() == expected


@pytest.mark.parametrize(
    "unit", [b"a.", b"://", b"rtmp://", b"rtmp://a/", b"a@", b"://a@", b"?", b"://?", b"token", b"token="]
)
def test_hostile_lines_take_linear_time(unit: bytes) -> None:
    """Quadratic patterns would need minutes for these, so the whole suite would hang."""
    reader = LineReader()
    line = unit * (LONGEST_READ // len(unit)) + b"\n"
    assert sum(len(reader.receive(line)) for _ in range(50)) == 50


def test_what_is_cut_costs_no_more_than_what_is_looked_at() -> None:
    """No more is held of a line than is looked at, nor is any of its rest, however long it goes on."""
    reader = LineReader()
    for _ in range(1000):
        reader.receive(b"://" * 1365)
        assert len(reader._rest) <= LONGEST_READ
    assert reader.receive(b"\nnext\n") == ["next"]


@pytest.mark.parametrize(
    ("key", "bare"),
    [
        ("talk", "talk"),
        ("talk==", "talk=="),
        ("k6&token=sesame", "k6&***"),
        ("k7;token=sesame", "k7;***"),
        ("k9%3ftoken=sesame", "k9%3f***"),
        ("k？token=sesame", "k？***"),  # noqa: RUF001
        ("k?sesame", "k?***"),
    ],
)
def test_a_stream_key_is_shown_up_to_what_was_meant_as_its_query(key: str, bare: str) -> None:
    assert bare_key(key) == bare
