"""What the steps that run ffmpeg are asked to do, as types; and what is wrong with parameters that do not go together.

It stands apart from the argument lists because steps and their checks need it without them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import frozen

from mmids_trio.config.converters import choice, one_of, switch, text, whole_number
from mmids_trio.config.parameters import parameter
from mmids_trio.ffmpeg.locations import is_file, output_directory, push_target, source_location

MAX_SEGMENT_SECONDS = 3600
MAX_SEGMENTS = 1_000_000

MAX_PIXELS = 16_384
"""Width or height of a picture: what H.264 level 6.2 and HEVC allow."""

MAX_KBPS = 1_000_000
MAX_FPS = 240

MAX_RUNGS = 8
"""Of a ladder: more qualities than anybody offers, and all of them are encoded by one child."""

MAX_AUDIO_KBPS = 512

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")

NEW_DEFAULT = "Mmids' default holds since 0.2,"

Treatment = Literal["copy", "encode", "drop"]
"""What becomes of the video or the audio."""

Size = tuple[int, int]
"""Width and height in pixels."""

_pixels = whole_number(1, MAX_PIXELS)
_kbps = whole_number(1, MAX_KBPS)


def even(pixels: float) -> int:
    """The next even number of pixels: 4:2:0, as every player decodes it, has one colour for two by two."""
    return max(2 * round(pixels / 2), 2)


def picture_size(value: str) -> Size:
    """`<width>x<height>` in pixels."""
    width, separator, height = value.partition("x")
    try:
        if not separator:
            raise ValueError
        return _pixels(width), _pixels(height)
    except ValueError:
        raise ValueError(f"expected <width>x<height> in pixels, each up to {MAX_PIXELS}") from None


@frozen
class Rung:
    """One quality of a ladder: the lines of a picture that lies (the columns of one that stands), and the bitrate."""

    lines: int
    kbps: int

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.lines}p"


_RUNG = re.compile(r"([0-9]{1,5})p:([0-9]{1,7})", re.ASCII)


def ladder_rungs(value: str) -> tuple[Rung, ...]:
    """`<lines>p:<kbps>`, several of them with commas between."""
    found = [_RUNG.fullmatch(part) for part in value.split(",")]
    try:
        rungs = tuple(Rung(_pixels(match[1]), _kbps(match[2])) for match in found if match is not None)
    except ValueError:
        rungs = ()
    if len(rungs) != len(found) or len(rungs) > MAX_RUNGS or len({rung.lines for rung in rungs}) < len(rungs):
        raise ValueError(f"expected up to {MAX_RUNGS} different <lines>p:<kbps>, as in 1080p:5000,720p:2500,360p:600")
    return rungs


_audio_kbps = whole_number(8, MAX_AUDIO_KBPS)


def copy_or_kbps(value: str) -> int | None:
    """`copy` (`None`), or the bitrate to encode at."""
    try:
        return None if value == "copy" else _audio_kbps(value)
    except ValueError:
        raise ValueError(f"expected copy, or a bitrate of AAC from 8 to {MAX_AUDIO_KBPS} kbps") from None


def _treatment(**words: Treatment) -> Mapping[str, Treatment]:
    return words


@frozen
class PullParameters:
    """Of `ffmpeg_pull`. `loop`: whether what ends is played again; `None`: a file is not, a URL is asked again."""

    location: str = parameter(source_location)
    stream_name: str = parameter(text)
    loop: bool | None = parameter(switch, default=None)

    @property
    def plays_once(self) -> bool:
        """Whether nothing comes any more when all of it was played."""
        return is_file(self.location) if self.loop is None else not self.loop

    def unsaid(self) -> Iterable[str]:
        """What to warn of: a default that is new in 0.2."""
        if self.loop is None and is_file(self.location):
            yield f"'loop' is not given: {NEW_DEFAULT} the file is played once; loop=true repeats it"


@frozen
class PushParameters:
    """Of `ffmpeg_push`."""

    target: str = parameter(push_target)
    stream_name: str | None = parameter(text, default=None)


@frozen
class HlsParameters:
    """Of `ffmpeg_hls`: `duration_s` of a segment, `count` of segments that are listed (0 and `None`: all of them)."""

    path: str = parameter(output_directory)
    duration_s: int = parameter(whole_number(1, MAX_SEGMENT_SECONDS), name="duration", default=2)
    count: int | None = parameter(whole_number(0, MAX_SEGMENTS), default=None)
    stream_name: str | None = parameter(text, default=None)
    delete: bool | None = parameter(switch, default=None)

    @property
    def deletes(self) -> bool:
        """Whether files go that nobody needs any more."""
        return bool(self.count) if self.delete is None else self.delete

    def unsaid(self) -> Iterable[str]:
        """What to warn of: a default that is new in 0.2."""
        if self.count is None:
            yield f"'count' is not given: {NEW_DEFAULT} all segments are listed and kept; count=5 is what 0.1 did"


@frozen(kw_only=True)
class TranscodeParameters:
    """What both transcoding steps ask for. All but the treatments only mean something to an encoder.

    `None` leaves it to the encoder.
    """

    video: Treatment
    audio: Treatment
    preset: str | None = None
    width: int | None = None
    height: int | None = None
    fps: int | None = None
    video_kbps: int | None = None
    audio_bps: int | None = None
    """Bits per second."""


@frozen
class FfmpegTranscodeParameters:
    """Of `ffmpeg_transcode`."""

    video: Treatment = parameter(choice(_treatment(copy="copy", h264="encode")), name="vcodec", any_case=True)
    audio: Treatment = parameter(choice(_treatment(copy="copy", aac="encode")), name="acodec", any_case=True)
    preset: str = parameter(one_of(*PRESETS), name="h264_preset", default="veryfast", any_case=True)
    size: Size | None = parameter(picture_size, default=None)
    video_kbps: int | None = parameter(_kbps, name="kbps", aliases=("bitrate",), default=None)

    def conflicts(self) -> Iterable[str]:
        """What does not go together; a preset without an encoder is merely not used."""
        if self.video != "encode":
            yield from _useless({"size": self.size, "kbps": self.video_kbps}, "vcodec=h264")
        width, height = self.size or (None, None)
        yield from _odd("width in 'size'", width)
        yield from _odd("height in 'size'", height)

    def transcoding(self) -> TranscodeParameters:
        """What it asks for."""
        width, height = self.size or (None, None)
        return TranscodeParameters(
            video=self.video,
            audio=self.audio,
            preset=self.preset,
            width=width,
            height=height,
            video_kbps=self.video_kbps,
        )


@frozen
class LadderParameters:
    """Of `ffmpeg_ladder`."""

    renditions: Sequence[Rung] = parameter(ladder_rungs)
    audio_kbps: int | None = parameter(copy_or_kbps, name="audio", default=None)
    preset: str = parameter(one_of(*PRESETS), name="h264_preset", default="veryfast", any_case=True)


@frozen
class BasicTranscodeParameters:
    """Of `basic_transcode`."""

    video: Treatment = parameter(choice(_treatment(x264="encode", copy="copy", drop="drop")), any_case=True)
    audio: Treatment = parameter(choice(_treatment(avenc_aac="encode", copy="copy", drop="drop")), any_case=True)
    width: int | None = parameter(_pixels, name="video_width", default=None)
    height: int | None = parameter(_pixels, name="video_height", default=None)
    fps: int | None = parameter(whole_number(1, MAX_FPS), name="video_fps", default=None)
    video_kbps: int | None = parameter(_kbps, name="video_bitrate", default=None)
    preset: str = parameter(one_of(*PRESETS), name="video_preset", default="medium", any_case=True)
    audio_bps: int | None = parameter(whole_number(1, MAX_KBPS * 1000), name="audio_bitrate", default=None)

    def conflicts(self) -> Iterable[str]:
        """What does not go together."""
        if self.video == self.audio == "drop":
            yield "expected something to be left, got both video=drop and audio=drop"
        if self.video != "encode":
            sizes = {"video_width": self.width, "video_height": self.height}
            yield from _useless({**sizes, "video_fps": self.fps, "video_bitrate": self.video_kbps}, "video=x264")
        if self.audio != "encode":
            yield from _useless({"audio_bitrate": self.audio_bps}, "audio=avenc_aac")
        yield from _odd("'video_width'", self.width)
        yield from _odd("'video_height'", self.height)

    def transcoding(self) -> TranscodeParameters:
        """What it asks for."""
        return TranscodeParameters(
            video=self.video,
            audio=self.audio,
            preset=self.preset,
            width=self.width,
            height=self.height,
            fps=self.fps,
            video_kbps=self.video_kbps,
            audio_bps=self.audio_bps,
        )


def _useless(given: Mapping[str, object], encoder: str) -> Iterable[str]:
    return (
        f"'{name}' is for the encoder, expected {encoder} with it" for name, value in given.items() if value is not None
    )


def _odd(what: str, pixels: int | None) -> Iterable[str]:
    """4:2:0, the only sampling of colours that every player decodes, has one colour for two by two pixels."""
    if pixels is not None and pixels % 2:
        yield f"expected an even {what}, got {pixels}"
