"""No name of a stream leaves its directory, and different names stay different files."""

import string
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.file_names import (
    MAX_NAME,
    file_stem,
    playlist_name,
    segment_number,
    segment_prefix,
    stem_of_segment,
)

PLAIN = set(string.ascii_letters + string.digits + "._-=")

any_text = st.text(st.characters(), max_size=400)  # lone surrogates included
tricky = st.text(st.sampled_from("./-%=\0x2FEa \u00e4"), max_size=80)
names = any_text | tricky


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("camera_1.main-hd", "camera_1.main-hd.m3u8"),
        ("../x", "=2E.=2Fx.m3u8"),
        ("a/b", "a=2Fb.m3u8"),
        ("%2e%2e", "=252e=252e.m3u8"),
        ("n\0l", "n=00l.m3u8"),
        ("-y", "=2Dy.m3u8"),
        (".", "=2E.m3u8"),
        ("..", "=2E..m3u8"),
        ("a=b", "a=3Db.m3u8"),
        ("\u00e4", "=C3=A4.m3u8"),
        ("", "=.m3u8"),
    ],
)
def test_names_are_escaped_so_that_they_stay_readable(name: str, expected: str) -> None:
    assert playlist_name(name) == expected


@given(names)
def test_every_name_is_a_plain_file_directly_in_its_directory(name: str) -> None:
    file = playlist_name(name)
    assert set(file) <= PLAIN
    assert file[0] not in ".-"
    assert PurePosixPath(file).parts == (file,)
    assert len(file_stem(name)) <= MAX_NAME


@given(names, names)
def test_different_names_are_different_files(one: str, other: str) -> None:
    assert (file_stem(one) == file_stem(other)) == (one == other)


@given(names)
def test_no_name_is_what_another_is_escaped_to(name: str) -> None:
    escaped = file_stem(name)
    assert escaped == name or file_stem(escaped) != escaped


def test_long_names_that_begin_alike_are_different_files() -> None:
    one, other = "x" * 300, "x" * 299 + "y"
    assert len(file_stem(one)) == len(file_stem(other)) == MAX_NAME
    assert file_stem(one) != file_stem(other)
    assert file_stem("x" * MAX_NAME) == "x" * MAX_NAME


@given(names | st.text(st.sampled_from("a1=-."), max_size=6), st.integers(0, 10**9), st.sampled_from(["ts", "m4s"]))
def test_a_segment_belongs_to_one_stream_alone(name: str, number: int, extension: str) -> None:
    """Else a publisher of `a1` could overwrite what is written of `a`."""
    stem = file_stem(name)
    file = f"{segment_prefix(stem)}{number}.{extension}"
    assert stem_of_segment(file) == stem
    assert segment_number(file, stem) == number


def test_segments_are_called_as_ffmpeg_calls_them() -> None:
    assert f"{segment_prefix('key')}3.ts" == "key3.ts"
    assert f"{segment_prefix('key1')}3.ts" == "key1=3.ts"
