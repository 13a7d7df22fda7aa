"""Sources of one colour, and a player that says of every picture when it is shown, how large it is and which colour.

With the ffmpeg that is installed with the server, which plays and publishes HEVC over RTMP too.
"""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import trio
from attrs import define, frozen

from tests.support.processes import Child, start

FFMPEG = str(import_module("imageio_ffmpeg").get_ffmpeg_exe())

FPS = 25
GOP_SECONDS = 1.0

_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error")
_ENCODERS = {
    "h264": ("libx264", "-preset", "ultrafast"),
    "hevc": ("libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=0:scenecut=0"),
}
_COLOURS = {"red": (81, 90, 240), "lime": (145, 54, 34), "blue": (41, 240, 110)}
"""Luma and chroma (BT.601, limited range)."""

_CLOSE = 25
"""How far each of them may be away from that, after encoding and other conversions."""

_SHOWN = re.compile(r"pts_time:([\d.]+).* s:(\d+)x(\d+) .*iskey:(\d).*mean:\[([\d ]+)\]")


@frozen
class Picture:
    """`time` in seconds on the stream's clock."""

    time: float
    size: tuple[int, int]
    is_key: bool
    colour: str


@define(eq=False)
class Viewer:
    """A player that decodes a stream as it comes."""

    child: Child

    @property
    def pictures(self) -> list[Picture]:
        """All so far."""
        return [_picture(found) for line in self.child.err.lines if (found := _SHOWN.search(line))]

    async def sees(self, *colours: str, count: int = 20) -> None:
        """Wait until the colours have been seen in this order, the last of them `count` times in a row."""
        await self.child.err.until(lambda _: _has_seen(self.pictures, colours, count), f"{colours} in its pictures")


def _picture(found: re.Match[str]) -> Picture:
    means = [int(mean) for mean in found[5].split()]
    colour = "other"
    for name, wanted in _COLOURS.items():
        if all(abs(a - b) <= _CLOSE for a, b in zip(means, wanted, strict=True)):
            colour = name
    return Picture(float(found[1]), (int(found[2]), int(found[3])), found[4] == "1", colour)


def _has_seen(pictures: Sequence[Picture], colours: Sequence[str], count: int) -> bool:
    seen = rows(pictures)
    return [row[0].colour for row in seen] == list(colours) and len(seen[-1]) >= count


def rows(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """The pictures, those of one colour that follow each other together."""
    found: list[list[Picture]] = []
    for picture in pictures:
        if found and found[-1][-1].colour == picture.colour:
            found[-1].append(picture)
        else:
            found.append([picture])
    return found


async def publish_colour(
    nursery: trio.Nursery, url: str, colour: str, *, size: str = "160x90", codec: str = "h264"
) -> Child:
    """An ffmpeg that publishes pictures of one colour, and a tone."""
    picture = ("-re", "-f", "lavfi", "-i", f"color={colour}:size={size}:rate={FPS}")
    sound = ("-re", "-f", "lavfi", "-i", "sine=440:sample_rate=48000")
    encoders = ("-c:v", *_ENCODERS[codec], "-g", str(round(FPS * GOP_SECONDS)), "-pix_fmt", "yuv420p", "-c:a", "aac")
    command = [FFMPEG, *_QUIET, *picture, *sound, *encoders, "-f", "flv", url]
    return await start(nursery, command, name=f"publisher of {colour}")


async def view(nursery: trio.Nursery, url: str) -> Viewer:
    """A viewer of a stream."""
    options = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "info", "-copyts")
    shown = ("-an", "-vf", "showinfo", "-fps_mode", "passthrough", "-f", "null", "-")
    return Viewer(await start(nursery, [FFMPEG, *options, "-i", url, *shown], name="viewer"))


async def make_picture(path: Path, colour: str) -> None:
    """A PNG of one colour."""
    source = ("-f", "lavfi", "-i", f"color={colour}:size=320x180", "-frames:v", "1")
    await trio.run_process([FFMPEG, *_QUIET, "-y", *source, str(path)])
