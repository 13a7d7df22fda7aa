"""Argument lists, as far as they can be judged without running them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.arguments import (
    HlsChild,
    hls_arguments,
    hls_playlist_path,
    needs_fmp4,
    pull_arguments,
    push_arguments,
    transcode_arguments,
)
from mmids_trio.ffmpeg.locations import LARGEST_PICTURE
from mmids_trio.ffmpeg.parameters import HlsParameters, PullParameters, PushParameters, TranscodeParameters


def value(arguments: Sequence[str], option: str) -> str:
    assert arguments.count(option) == 1
    return arguments[arguments.index(option) + 1]


def contains(arguments: Sequence[str], *part: str) -> bool:
    return any(tuple(arguments[place : place + len(part)]) == part for place in range(len(arguments)))


def test_a_pull_writes_flv_to_its_output_and_reads_no_input() -> None:
    arguments = pull_arguments(PullParameters("/a.mp4", "name"))
    assert "-nostdin" in arguments
    assert arguments[-3:] == ["-f", "flv", "pipe:1"]
    assert "name" not in arguments


def test_what_is_fed_reads_flv_and_nothing_else() -> None:
    for arguments in (
        push_arguments(PushParameters("rtmp://h/a/b")),
        hls_arguments(HlsParameters("p"), "n", HlsChild()),
        transcode_arguments(TranscodeParameters(video="copy", audio="copy")),
    ):
        assert contains(arguments, "-f", "flv", "-i", "pipe:0")
        assert value(arguments, "-protocol_whitelist") == "pipe"
        assert arguments.count("-i") == 1


def test_no_input_may_have_larger_pictures_than_8k() -> None:
    for arguments in (
        push_arguments(PushParameters("rtmp://h/a/b")),
        hls_arguments(HlsParameters("p"), "n", HlsChild()),
        transcode_arguments(TranscodeParameters(video="copy", audio="copy")),
        *(pull_arguments(PullParameters(source, "n")) for source in ("/a.mp4", "http://h/a", "rtsp://h/a", "srt://h")),
    ):
        assert contains(arguments[: arguments.index("-i")], "-max_pixels", str(LARGEST_PICTURE))


def test_locations_and_targets_are_checked_here_again() -> None:
    with pytest.raises(ValueError, match="expected"):
        pull_arguments(PullParameters("concat:a|b", "n"))
    with pytest.raises(ValueError, match="expected"):
        push_arguments(PushParameters("/etc/passwd"))
    with pytest.raises(ValueError, match="expected"):
        hls_arguments(HlsParameters("%d"), "n", HlsChild())


def test_hls_says_each_segment_and_leaves_the_playlist_to_the_server() -> None:
    arguments = hls_arguments(HlsParameters("p", duration_s=4, count=9), "n", HlsChild(first_number=7))
    assert value(arguments, "-hls_time") == "4"
    assert value(arguments, "-start_number") == "7"
    assert value(arguments, "-hls_segment_filename") == "./p/n%d.ts"
    assert "9" not in arguments
    assert "-hls_segment_type" not in arguments
    assert arguments[-1] == "pipe:1"


def test_a_fixed_name_takes_the_place_of_the_streams() -> None:
    parameters = HlsParameters("/srv/hls/", stream_name="fixed")
    assert hls_playlist_path(parameters, "live") == "/srv/hls/fixed.m3u8"
    assert value(hls_arguments(parameters, "live", HlsChild()), "-hls_segment_filename") == "/srv/hls/fixed%d.ts"


@pytest.mark.parametrize("has_hevc", [True, False])
def test_with_an_init_segment_it_is_fragmented_mp4(has_hevc: bool) -> None:
    arguments = hls_arguments(HlsParameters("p"), "a/b", HlsChild(0, "a=2Fb0.mp4", has_hevc))
    assert value(arguments, "-hls_segment_type") == "fmp4"
    assert value(arguments, "-hls_segment_filename") == "./p/a=2Fb%d.m4s"
    assert value(arguments, "-hls_fmp4_init_filename") == "./p/a=2Fb0.mp4"
    assert contains(arguments, "-tag:v", "hvc1") == has_hevc


@pytest.mark.parametrize("codec", ["hvc1", "av01", "Opus", "vp09"])
def test_codecs_that_players_expect_in_mp4_get_it(codec: str) -> None:
    assert needs_fmp4({"mp4a", codec})
    assert not needs_fmp4({"avc1", "mp4a"})


@given(st.text(max_size=200), st.text(st.characters(exclude_characters="%\0"), min_size=1, max_size=20))
def test_no_name_of_a_stream_is_an_option_or_a_pattern_or_leaves_the_directory(name: str, path: str) -> None:
    parameters = HlsParameters(path)
    arguments, playlist = hls_arguments(parameters, name, HlsChild()), hls_playlist_path(parameters, name)
    pattern = value(arguments, "-hls_segment_filename")
    for written in (playlist, pattern):
        directory, _, file = written.rpartition("/")
        assert directory in (path.rstrip("/"), f"./{path}".rstrip("/"))
        assert file.endswith((".m3u8", "%d.ts"))
        assert written[0] in "/."
    assert pattern.count("%") == 1
    assert not any("\0" in argument for argument in arguments)


def test_a_bitrate_is_target_minimum_and_maximum() -> None:
    parameters = TranscodeParameters(video="encode", audio="encode", preset="fast", video_kbps=900, audio_bps=96_000)
    arguments = transcode_arguments(parameters)
    assert {value(arguments, option) for option in ("-b:v", "-minrate", "-maxrate", "-bufsize")} == {"900k"}
    assert value(arguments, "-b:a") == "96000"
    assert value(arguments, "-preset") == "fast"


@pytest.mark.parametrize(
    ("width", "height", "fps", "filters"),
    [
        (640, 480, None, "scale=640:480"),
        (640, None, None, "scale=640:-2"),
        (None, 480, 30, "fps=30,scale=-2:480"),
        (None, None, 30, "fps=30"),
    ],
)
def test_size_and_rate_are_filters(width: int | None, height: int | None, fps: int | None, filters: str) -> None:
    parameters = TranscodeParameters(video="encode", audio="copy", width=width, height=height, fps=fps)
    assert value(transcode_arguments(parameters), "-vf") == filters


def test_what_is_copied_or_dropped_has_no_encoder() -> None:
    copied = transcode_arguments(TranscodeParameters(video="copy", audio="copy", preset="fast"))
    assert contains(copied, "-c:v", "copy", "-c:a", "copy")
    assert {"-preset", "-vf", "-af", "-b:v"}.isdisjoint(copied)
    assert {"-vn", "-an"} <= set(transcode_arguments(TranscodeParameters(video="drop", audio="drop")))
