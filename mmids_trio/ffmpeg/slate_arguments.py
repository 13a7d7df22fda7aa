"""What ffmpeg is told to prepare a slate: a few seconds in the very form of a live stream, once. Pure.

The loop has no B-frames and one key frame a second, so that it can follow itself, and live pictures can follow it
anywhere.
"""

from collections.abc import Iterator
from pathlib import PurePath

from mmids_trio.continuity.formats import AudioFormat, StreamFormat, VideoFormat
from mmids_trio.ffmpeg.capacity import Encoding
from mmids_trio.ffmpeg.locations import FLV_OPTIONS, LARGEST_PICTURE, PICTURE_LIMIT, plain_path

PICTURE_SECONDS = 2
"""A still picture or colour bars need no more before they begin anew."""

VIDEO_SECONDS = 30
"""Of a video, what its first half minute shows; the loop is kept in memory for each format it is needed in."""

MAX_LOOP_BYTES = 16 * 1024 * 1024
"""What comes after that is left away; half a minute at 4 Mbit/s."""

PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"))

_VIDEO_ENCODERS = {
    "avc1": ("libx264", "-preset", "veryfast", "-profile:v", "main", "-sc_threshold", "0"),
    "hvc1": ("libx265", "-preset", "veryfast", "-x265-params", "log-level=error:scenecut=0"),
    "av01": ("libsvtav1", "-preset", "10"),
    "vp09": ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
}
_AUDIO_ENCODERS = {"mp4a": ("aac",), "Opus": ("libopus",), ".mp3": ("libmp3lame",)}


HIGHEST_FPS = 120
"""Of a slate. A stream with more pictures a second has a slate with so many."""


def why_not(wanted: StreamFormat) -> str | None:
    """Why there can be no slate for a stream: ffmpeg has no encoders for its codecs, or its pictures are too large."""
    video, audio = wanted.video, wanted.audio
    knows_video = video is None or video.codec in _VIDEO_ENCODERS
    if not knows_video or (audio is not None and audio.codec not in _AUDIO_ENCODERS) or (video or audio) is None:
        return "no slate for this kind of stream"
    if video is not None and video.width * video.height > LARGEST_PICTURE:
        return f"no slate for pictures of more than {LARGEST_PICTURE} pixels"
    return None


def slate_encoding(wanted: StreamFormat) -> Encoding:
    """What making it encodes, as if it were made in real time."""
    video = wanted.video
    return Encoding(0 if video is None else round(video.width * video.height * _fps(video)), is_slate=True)


def slate_arguments(file: str | None, wanted: StreamFormat) -> list[str]:
    """Make the loop of `file` (`None`: colour bars) in the format `wanted`; write FLV to standard output."""
    seconds = PICTURE_SECONDS if file is None or _is_picture(file) else VIDEO_SECONDS
    inputs, maps = list[str](), list[str]()
    if wanted.video is not None:
        inputs += _picture(file, wanted.video)
        maps += ["-map", "0:V:0"]
    if wanted.audio is not None:
        inputs += _silence(wanted.audio)
        maps += ["-map", f"{int(wanted.video is not None)}:a:0"]
    return [
        *("-hide_banner", "-nostats", "-loglevel", "level+warning", "-nostdin"),
        *inputs,
        *maps,
        *_video(wanted.video),
        *_audio(wanted.audio),
        *("-t", str(seconds), "-shortest", *FLV_OPTIONS, "-f", "flv", "pipe:1"),
    ]


def _is_picture(file: str) -> bool:
    return PurePath(file).suffix.lower() in PICTURES


def _fps(video: VideoFormat) -> float:
    return min(video.fps, HIGHEST_FPS)


def _picture(file: str | None, video: VideoFormat) -> list[str]:
    if file is None:
        return ["-f", "lavfi", "-i", f"smptehdbars=size={video.width}x{video.height}:rate={_fps(video):g}"]
    again = ("-loop", "1", "-framerate", f"{_fps(video):g}") if _is_picture(file) else ()
    return ["-protocol_whitelist", "file", *PICTURE_LIMIT, *again, "-i", f"file:{plain_path(file)}"]


def _silence(audio: AudioFormat) -> list[str]:
    return ["-f", "lavfi", "-i", f"anullsrc=sample_rate={audio.sample_rate}:channel_layout={audio.channels}c"]


def _video(video: VideoFormat | None) -> Iterator[str]:
    if video is None:
        yield "-vn"
        return
    size = f"{video.width}:{video.height}"
    fit = f"scale={size}:force_original_aspect_ratio=decrease,pad={size}:(ow-iw)/2:(oh-ih)/2"
    yield from ("-vf", f"{fit},setsar=1,fps={_fps(video):g},format=yuv420p")
    yield from ("-c:v", *_VIDEO_ENCODERS[video.codec], "-g", str(max(round(_fps(video)), 1)), "-bf", "0")


def _audio(audio: AudioFormat | None) -> Iterator[str]:
    if audio is None:
        yield "-an"
        return
    yield from ("-c:a", *_AUDIO_ENCODERS[audio.codec])
    yield from ("-ar", str(audio.sample_rate), "-ac", str(audio.channels))
