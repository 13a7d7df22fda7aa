"""The parameters of the steps that run ffmpeg, as the configuration language knows them.

This version checks them but cannot run the steps yet: a workflow that uses one goes into error and says so.
"""

from collections.abc import Iterable

from mmids_trio.steps.parameters import Parameter, Values, one_of, text, whole_number
from mmids_trio.steps.registry import StepType, not_available

MAX_PIXELS = 16_384
"""Width or height of a picture: what H.264 level 6.2 and HEVC allow."""

MAX_KBPS = 1_000_000
MAX_FPS = 240
MAX_SEGMENT_SECONDS = 3600
MAX_SEGMENTS = 1_000_000

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
preset = one_of(*PRESETS)
pixels = whole_number(1, MAX_PIXELS)
kbps = whole_number(1, MAX_KBPS)


def picture_size(value: str) -> tuple[int, int]:
    """`<width>x<height>` in pixels."""
    width, separator, height = value.partition("x")
    try:
        if not separator:
            raise ValueError
        return pixels(width), pixels(height)
    except ValueError:
        raise ValueError(f"expected <width>x<height> in pixels, each up to {MAX_PIXELS}") from None


FFMPEG_PULL = (Parameter("location", text, required=True), Parameter("stream_name", text, required=True))

FFMPEG_PUSH = (Parameter("target", text, required=True),)

FFMPEG_HLS = (
    Parameter("path", text, required=True),
    Parameter("duration", whole_number(1, MAX_SEGMENT_SECONDS), default=2),
    Parameter("count", whole_number(0, MAX_SEGMENTS)),
    Parameter("stream_name", text),
)

FFMPEG_TRANSCODE = (
    Parameter("vcodec", one_of("copy", "h264"), required=True),
    Parameter("acodec", one_of("copy", "aac"), required=True),
    Parameter("h264_preset", preset),
    Parameter("size", picture_size),
    Parameter("kbps", kbps, aliases=("bitrate",)),
)

BASIC_TRANSCODE = (
    Parameter("video", one_of("x264", "copy", "drop"), required=True),
    Parameter("audio", one_of("avenc_aac", "copy", "drop"), required=True),
    Parameter("video_width", pixels),
    Parameter("video_height", pixels),
    Parameter("video_fps", whole_number(1, MAX_FPS)),
    Parameter("video_bitrate", kbps),
    Parameter("video_preset", preset, default="medium"),
    Parameter("audio_bitrate", whole_number(1, MAX_KBPS * 1000)),
)


def preset_conflicts(values: Values) -> Iterable[str]:
    """`h264_preset` goes with `vcodec=h264`, which needs it."""
    if values["vcodec"] == "h264" and values["h264_preset"] is None:
        yield f"expected 'h264_preset' with vcodec=h264, one of {', '.join(PRESETS)}"


def ffmpeg_steps() -> tuple[StepType, ...]:
    """The kinds of steps that run ffmpeg."""
    return (
        StepType("ffmpeg_pull", FFMPEG_PULL, not_available("ffmpeg_pull")),
        StepType("ffmpeg_push", FFMPEG_PUSH, not_available("ffmpeg_push")),
        StepType("ffmpeg_hls", FFMPEG_HLS, not_available("ffmpeg_hls")),
        StepType("ffmpeg_transcode", FFMPEG_TRANSCODE, not_available("ffmpeg_transcode"), conflicts=preset_conflicts),
        StepType("basic_transcode", BASIC_TRANSCODE, not_available("basic_transcode")),
    )
