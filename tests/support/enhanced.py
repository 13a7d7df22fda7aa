"""Media of Enhanced RTMP: made, published, played and looked at with the ffmpeg of imageio-ffmpeg.

Apart from `tests.support.ffmpeg`, whose programs are Debian's: those can read none of it.
"""

import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import trio
from attrs import frozen

from mmids_trio.media.flv import FlvTag
from tests.support.encoder import tags_of
from tests.support.ffmpeg import (
    FRAMES_PER_SECOND,
    GOP_FRAMES,
    MAKING_SECONDS,
    Packets,
    Player,
    Recording,
    play_command,
    publish_command,
)
from tests.support.processes import Child, start

BUNDLED: str = import_module("imageio_ffmpeg").get_ffmpeg_exe()
SECONDS = 20
"""Of media: longer than a test looks at it."""

_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")
_PICTURE = ("-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={FRAMES_PER_SECOND}")
_SOUND = ("-f", "lavfi", "-i", "anoisesrc=seed=1:sample_rate=48000:amplitude=0.3")
_GOP = ("-g", str(GOP_FRAMES), "-pix_fmt", "yuv420p")
_X265 = f"log-level=error:bframes=2:keyint={GOP_FRAMES}:min-keyint={GOP_FRAMES}:scenecut=0:open-gop=0"
_HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", _X265)
_AV1 = ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime")
_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast")
_OPUS = ("-c:a", "libopus", "-b:a", "64k")
_AAC = ("-c:a", "aac", "-ac", "1")
_AS_IT_COMES = ("-fps_mode", "passthrough", "-enc_time_base:v", "1:1000")
_HASH_COLUMN = 5  # of framemd5


@frozen
class Media:
    """A recording, and the tags that it consists of."""

    recording: Recording
    headers: frozenset[bytes]
    """Bodies of all that comes before the first frame but metadata."""
    video: tuple[bytes, ...]
    """Bodies of the frames."""
    audio: tuple[bytes, ...]


KINDS = {
    "HEVC and Opus": (*_HEVC, *_OPUS, "-ac", "2"),
    "AV1 and AAC": (*_AV1, *_AAC),
    "VP9 and Opus in 5.1": (*_VP9, *_OPUS, "-ac", "6"),
    "H.264 and two tracks of AAC": ("-map", "0", "-map", "1", "-map", "1", *_H264, *_AAC),
}
"""Options that make the media."""


def make_media(path: Path, kind: str) -> Media:
    """One of `KINDS`, as a FLV file."""
    command = [BUNDLED, *_QUIET, "-y", *_PICTURE, *_SOUND, "-t", str(SECONDS), *KINDS[kind], *_GOP, "-f", "flv", path]
    subprocess.run([*map(str, command)], check=True, timeout=MAKING_SECONDS)
    packets = packets_in(path)
    _, video, audio = sort_tags(tags_of(path))
    headers, _, _ = sort_tags(tags_of(path, before=1))  # a writer of files repeats one at the end
    key_frames = frozenset(packets.video[::GOP_FRAMES])
    told = frozenset(data for data in headers if len(data) > len(b"\x90av01"))  # libaom-av1 begins with an empty one
    return Media(Recording(path, packets, key_frames), told, video, audio)


def sort_tags(tags: Sequence[FlvTag]) -> tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """Bodies of headers, of video frames and of audio frames."""
    frames = [tag.data for tag in tags if not is_header(tag.data) and not is_end(tag.data)]
    headers = tuple(tag.data for tag in tags if is_header(tag.data))
    return headers, tuple(filter(is_video, frames)), tuple(data for data in frames if not is_video(data))


def is_video(data: bytes) -> bool:
    """Whether the body of a tag of `KINDS` is video: all of their audio has a format from 9 on without key frames."""
    return data[0] & 0xF0 in (0x10, 0x20) or (data[0] & 0x80 != 0 and data[1:5] in (b"hvc1", b"av01", b"vp09"))


def is_header(data: bytes) -> bool:
    """Whether the body of a tag of `KINDS` stands before the frames."""
    if data[:1] in (b"\x17", b"\xaf"):
        return data[1] == 0
    if data[:1] == b"\x95":
        return data[1] & 0x0F in (0, 4)
    return data[0] & 0x0F in (0, 4)


def is_end(data: bytes) -> bool:
    """Whether it says that a track is over."""
    return data[1] == 2 if data[:1] == b"\x17" else data[0] & 0x8F == 0x82


def packets_in(source: Path) -> Packets:
    """The packets of a file or playlist."""
    command = [BUNDLED, *_QUIET, "-i", str(source), "-map", "0:v:0", "-map", "0:a:0", "-c", "copy"]
    done = subprocess.run([*command, "-f", "framemd5", "-"], check=True, timeout=MAKING_SECONDS, capture_output=True)
    rows = [line.split(",") for line in done.stdout.decode().splitlines() if not line.startswith("#")]
    video, audio = (tuple(row[_HASH_COLUMN].strip() for row in rows if row[0] == track) for track in "01")
    return Packets(video, audio)


def flaws(source: Path) -> str:
    """What a decoder has to say against a file or playlist."""
    command = [BUNDLED, *_QUIET, "-xerror", "-i", str(source), *_AS_IT_COMES, "-f", "null", "-"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=MAKING_SECONDS)
    return done.stderr.decode() + (f"exit status {done.returncode}" if done.returncode else "")


@frozen
class EnhancedCrew:
    """Publishers and players in a nursery."""

    nursery: trio.Nursery

    async def publish(self, media: Media, url: str) -> Child:
        """Publishes all tracks."""
        [_, *options] = publish_command(media.recording.path, url)
        place = options.index("-c")
        return await start(self.nursery, [BUNDLED, *options[:place], "-map", "0", *options[place:]], name="publisher")

    async def play(self, url: str) -> Player:
        """Prints every packet of the first tracks."""
        return Player(await start(self.nursery, [BUNDLED, *play_command(url)[1:]], name="player"))
