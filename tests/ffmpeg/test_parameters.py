"""Values of steps become types, and what does not go together is said in the operator's words."""

import pytest

from mmids_trio.definitions import StepDefinition
from mmids_trio.ffmpeg.parameters import (
    HlsParameters,
    PullParameters,
    PushParameters,
    TranscodeParameters,
    basic_transcode_conflicts,
    basic_transcode_parameters,
    ffmpeg_transcode_conflicts,
    ffmpeg_transcode_parameters,
    hls_parameters,
    pull_parameters,
    push_parameters,
)
from mmids_trio.steps.ffmpeg_hls import FFMPEG_HLS
from mmids_trio.steps.ffmpeg_pull import FFMPEG_PULL
from mmids_trio.steps.ffmpeg_push import FFMPEG_PUSH
from mmids_trio.steps.ffmpeg_transcode import BASIC_TRANSCODE, FFMPEG_TRANSCODE
from mmids_trio.steps.parameters import Parameter, Values, check


def values(parameters: tuple[Parameter, ...], **given: str) -> Values:
    converted, problems = check(StepDefinition("step", given), parameters)
    assert problems == []
    return converted


def test_pull_push_and_hls() -> None:
    assert pull_parameters(values(FFMPEG_PULL, location="/a", stream_name="n")) == PullParameters("/a", "n")
    assert push_parameters(values(FFMPEG_PUSH, target="rtmp://h/a")) == PushParameters("rtmp://h/a")
    assert hls_parameters(values(FFMPEG_HLS, path="p")) == HlsParameters("p", 2, None, None)
    given = values(FFMPEG_HLS, path="p", duration="4", count="0", stream_name="n")
    assert hls_parameters(given) == HlsParameters("p", 4, 0, "n")


def test_ffmpeg_transcode() -> None:
    given = {"vcodec": "h264", "acodec": "aac", "h264_preset": "fast", "size": "640x480", "kbps": "1000"}
    found = values(FFMPEG_TRANSCODE, **given)
    assert list(ffmpeg_transcode_conflicts(found)) == []
    assert ffmpeg_transcode_parameters(found) == TranscodeParameters(
        video="encode", audio="encode", preset="fast", width=640, height=480, video_kbps=1000
    )
    copy = values(FFMPEG_TRANSCODE, vcodec="copy", acodec="copy")
    assert list(ffmpeg_transcode_conflicts(copy)) == []
    assert ffmpeg_transcode_parameters(copy) == TranscodeParameters(video="copy", audio="copy")


def test_basic_transcode() -> None:
    given = {"video_width": "1024", "video_height": "768", "video_fps": "30", "video_bitrate": "2000"}
    found = values(BASIC_TRANSCODE, video="x264", audio="avenc_aac", audio_bitrate="128000", **given)
    assert list(basic_transcode_conflicts(found)) == []
    assert basic_transcode_parameters(found) == TranscodeParameters(
        video="encode",
        audio="encode",
        preset="medium",
        width=1024,
        height=768,
        fps=30,
        video_kbps=2000,
        audio_bps=128_000,
    )
    drop = values(BASIC_TRANSCODE, video="drop", audio="copy")
    assert list(basic_transcode_conflicts(drop)) == []
    assert basic_transcode_parameters(drop) == TranscodeParameters(video="drop", audio="copy", preset="medium")


@pytest.mark.parametrize(
    ("given", "conflicts"),
    [
        ({"vcodec": "h264"}, ["expected 'h264_preset' with vcodec=h264, such as veryfast"]),
        ({"vcodec": "copy", "kbps": "100"}, ["'kbps' is for the encoder, expected vcodec=h264 with it"]),
        (
            {"vcodec": "copy", "kbps": "100", "size": "2x2"},
            [
                "'size' is for the encoder, expected vcodec=h264 with it",
                "'kbps' is for the encoder, expected vcodec=h264 with it",
            ],
        ),
        ({"vcodec": "copy", "h264_preset": "fast"}, []),
        (
            {"vcodec": "h264", "h264_preset": "fast", "size": "641x361"},
            ["expected an even width in 'size', got 641", "expected an even height in 'size', got 361"],
        ),
    ],
)
def test_conflicts_of_ffmpeg_transcode(given: dict[str, str], conflicts: list[str]) -> None:
    assert list(ffmpeg_transcode_conflicts(values(FFMPEG_TRANSCODE, acodec="copy", **given))) == conflicts


@pytest.mark.parametrize(
    ("given", "conflicts"),
    [
        (
            {"video": "drop", "audio": "drop"},
            ["expected something to be left, got both video=drop and audio=drop"],
        ),
        (
            {"video": "copy", "audio": "copy", "video_fps": "5", "audio_bitrate": "1"},
            [
                "'video_fps' is for the encoder, expected video=x264 with it",
                "'audio_bitrate' is for the encoder, expected audio=avenc_aac with it",
            ],
        ),
        ({"video": "x264", "audio": "copy", "video_width": "3"}, ["expected an even 'video_width', got 3"]),
        ({"video": "copy", "audio": "copy", "video_preset": "fast"}, []),
    ],
)
def test_conflicts_of_basic_transcode(given: dict[str, str], conflicts: list[str]) -> None:
    assert list(basic_transcode_conflicts(values(BASIC_TRANSCODE, **given))) == conflicts
