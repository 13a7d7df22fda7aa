"""Values of steps become types, and what does not go together is said in the operator's words."""

from typing import TypeVar

import pytest

from mmids_trio.config.parameters import convert, declared
from mmids_trio.ffmpeg.parameters import (
    BasicTranscodeParameters,
    FfmpegTranscodeParameters,
    HlsParameters,
    PullParameters,
    PushParameters,
    TranscodeParameters,
)

P = TypeVar("P")


def read(kind: type[P], **given: str) -> P:
    values, problems = convert(given, declared(kind))
    assert problems == []
    return kind(**values)


def test_pull_push_and_hls() -> None:
    assert read(PullParameters, location="/a", stream_name="n") == PullParameters("/a", "n")
    assert read(PushParameters, target="rtmp://h/a") == PushParameters("rtmp://h/a")
    hls = read(HlsParameters, path="p")
    assert (hls.path, hls.duration_s, hls.count, hls.stream_name) == ("p", 2, None, None)
    assert not hls.deletes
    assert read(HlsParameters, path="p", count="3").deletes
    assert not read(HlsParameters, path="p", count="3", delete="false").deletes
    assert read(HlsParameters, path="p", delete="true").deletes
    given = {"duration": "4", "count": "0", "stream_name": "n"}
    assert read(HlsParameters, path="p", **given) == HlsParameters("p", duration_s=4, count=0, stream_name="n")


def test_ffmpeg_transcode() -> None:
    given = {"h264_preset": "fast", "size": "640x480", "kbps": "1000"}
    found = read(FfmpegTranscodeParameters, vcodec="h264", acodec="aac", **given)
    assert list(found.conflicts()) == []
    assert found.transcoding() == TranscodeParameters(
        video="encode", audio="encode", preset="fast", width=640, height=480, video_kbps=1000
    )
    copy = read(FfmpegTranscodeParameters, vcodec="copy", acodec="copy")
    assert list(copy.conflicts()) == []
    assert copy.transcoding() == TranscodeParameters(video="copy", audio="copy", preset="veryfast")
    written = read(FfmpegTranscodeParameters, vcodec="H264", acodec="AAC", h264_preset="VeryFast").transcoding()
    assert written == read(FfmpegTranscodeParameters, vcodec="h264", acodec="aac").transcoding()
    assert written == TranscodeParameters(video="encode", audio="encode", preset="veryfast")


def test_basic_transcode() -> None:
    given = {"video_width": "1024", "video_height": "768", "video_fps": "30", "video_bitrate": "2000"}
    found = read(BasicTranscodeParameters, video="x264", audio="avenc_aac", audio_bitrate="128000", **given)
    assert list(found.conflicts()) == []
    assert found.transcoding() == TranscodeParameters(
        video="encode",
        audio="encode",
        preset="medium",
        width=1024,
        height=768,
        fps=30,
        video_kbps=2000,
        audio_bps=128_000,
    )
    drop = read(BasicTranscodeParameters, video="drop", audio="copy")
    assert list(drop.conflicts()) == []
    assert drop.transcoding() == TranscodeParameters(video="drop", audio="copy", preset="medium")


@pytest.mark.parametrize(
    ("given", "conflicts"),
    [
        ({"vcodec": "h264"}, []),
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
    assert list(read(FfmpegTranscodeParameters, acodec="copy", **given).conflicts()) == conflicts


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
    assert list(read(BasicTranscodeParameters, **given).conflicts()) == conflicts
