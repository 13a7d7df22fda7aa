"""What the steps that run ffmpeg are asked to do, as types; and what is wrong with parameters that do not go together.

It stands apart from the argument lists because steps and their checks need it without them.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, cast

from attrs import frozen

Treatment = Literal["copy", "encode", "drop"]
"""What becomes of the video or the audio."""

Values = Mapping[str, object]
"""Checked and converted parameters, as the registry of steps has them; `None` where one was not given."""

_VIDEO: Mapping[object, Treatment] = {"copy": "copy", "h264": "encode", "x264": "encode", "drop": "drop"}
_AUDIO: Mapping[object, Treatment] = {"copy": "copy", "aac": "encode", "avenc_aac": "encode", "drop": "drop"}


@frozen
class PullParameters:
    """Of `ffmpeg_pull`."""

    location: str
    stream_name: str


@frozen
class PushParameters:
    """Of `ffmpeg_push`."""

    target: str


@frozen
class HlsParameters:
    """Of `ffmpeg_hls`: `duration` of a segment in seconds, `count` of segments (0: all of them)."""

    path: str
    duration: int = 2
    count: int | None = None
    stream_name: str | None = None


@frozen(kw_only=True)
class TranscodeParameters:
    """Of both transcoding steps. All but the treatments only mean something to an encoder; `None` leaves it to it."""

    video: Treatment
    audio: Treatment
    preset: str | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    video_kbps: int | None = None
    audio_bps: int | None = None
    """Bits per second."""


def pull_parameters(values: Values) -> PullParameters:
    """From the values of an `ffmpeg_pull` step."""
    return PullParameters(_text(values, "location"), _text(values, "stream_name"))


def push_parameters(values: Values) -> PushParameters:
    """From the values of an `ffmpeg_push` step."""
    return PushParameters(_text(values, "target"))


def hls_parameters(values: Values) -> HlsParameters:
    """From the values of an `ffmpeg_hls` step."""
    return HlsParameters(
        _text(values, "path"),
        cast(int, values["duration"]),
        cast(int | None, values["count"]),
        cast(str | None, values["stream_name"]),
    )


def ffmpeg_transcode_parameters(values: Values) -> TranscodeParameters:
    """From the values of an `ffmpeg_transcode` step."""
    width, height = cast(tuple[int, int] | None, values["size"]) or (None, None)
    return TranscodeParameters(
        video=_VIDEO[values["vcodec"]],
        audio=_AUDIO[values["acodec"]],
        preset=cast(str | None, values["h264_preset"]),
        width=width,
        height=height,
        video_kbps=_number(values, "kbps"),
    )


def basic_transcode_parameters(values: Values) -> TranscodeParameters:
    """From the values of a `basic_transcode` step."""
    return TranscodeParameters(
        video=_VIDEO[values["video"]],
        audio=_AUDIO[values["audio"]],
        preset=cast(str | None, values["video_preset"]),
        width=_number(values, "video_width"),
        height=_number(values, "video_height"),
        fps=_number(values, "video_fps"),
        video_kbps=_number(values, "video_bitrate"),
        audio_bps=_number(values, "audio_bitrate"),
    )


def ffmpeg_transcode_conflicts(values: Values) -> Iterable[str]:
    """What does not go together in an `ffmpeg_transcode` step; a preset without an encoder is merely not used."""
    if values["vcodec"] != "h264":
        yield from _useless(values, ("size", "kbps"), "vcodec=h264")
    elif values["h264_preset"] is None:
        yield "expected 'h264_preset' with vcodec=h264, such as veryfast"
    width, height = cast(tuple[int, int] | None, values["size"]) or (None, None)
    yield from _odd("width in 'size'", width)
    yield from _odd("height in 'size'", height)


def basic_transcode_conflicts(values: Values) -> Iterable[str]:
    """What does not go together in a `basic_transcode` step."""
    if values["video"] == values["audio"] == "drop":
        yield "expected something to be left, got both video=drop and audio=drop"
    if values["video"] != "x264":
        yield from _useless(values, ("video_width", "video_height", "video_fps", "video_bitrate"), "video=x264")
    if values["audio"] != "avenc_aac":
        yield from _useless(values, ("audio_bitrate",), "audio=avenc_aac")
    for name in ("video_width", "video_height"):
        yield from _odd(f"'{name}'", _number(values, name))


def _useless(values: Values, names: Iterable[str], encoder: str) -> Iterable[str]:
    return (f"'{name}' is for the encoder, expected {encoder} with it" for name in names if values[name] is not None)


def _odd(what: str, pixels: int | None) -> Iterable[str]:
    """4:2:0, the only sampling of colours that every player decodes, has one colour for two by two pixels."""
    if pixels is not None and pixels % 2:
        yield f"expected an even {what}, got {pixels}"


def _text(values: Values, name: str) -> str:
    return cast(str, values[name])


def _number(values: Values, name: str) -> int | None:
    return cast(int | None, values[name])
