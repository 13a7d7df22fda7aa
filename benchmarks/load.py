"""The load: footage made with ffmpeg, publishers and watchers built from the C sources in `load/`.

C, so that the load leaves its core room while it is the server that is measured.
"""

import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from attrs import define, frozen

from benchmarks.children import Events, child
from benchmarks.figures import Histogram
from benchmarks.machine import NotPossible
from mmids_trio.ffmpeg.executable import shipped_with_imageio

SOURCES = Path(__file__).parent / "load"
TOOLS: Mapping[str, Sequence[str]] = {
    "watchers": ("watchers.c", "rtmp.c"),
    "viewers": ("viewers.c", "rtmp.c"),
    "publishers": ("-pthread", "publishers.c", "rtmp.c"),
    "flood": ("flood.c", "rtmp.c"),
    "at_once.so": ("-shared", "-fPIC", "at_once.c"),
}
"""What is built, and of what."""

APP, KEY, FLOOD_KEY = "live", "show", "flood"

QUIET = ("-v", "error", "-nostdin")

FOOTAGE_SECONDS = 20
WEBCAM = (
    *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15", "-t", str(FOOTAGE_SECONDS)),
    *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "30"),
    *("-b:v", "300k", "-minrate", "300k", "-maxrate", "300k", "-bufsize", "300k", "-x264-params", "nal-hrd=cbr"),
    *("-pix_fmt", "yuv420p", "-f", "flv"),
)
"""300 kbit/s, 15 frames a second, a key frame every two seconds, no sound."""

FOOTAGE = (
    *(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=1280x720:rate=30",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=44100",
    ),
    *("-t", str(FOOTAGE_SECONDS), "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60"),
    *("-b:v", "2500k", "-minrate", "2500k", "-maxrate", "2500k", "-bufsize", "2500k", "-x264-params", "nal-hrd=cbr"),
    *("-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv"),
)
"""2.6 Mbit/s, 720p, 30 frames a second, a key frame every two seconds."""

ENDLESS = 100_000.0
"""Seconds for a publisher that is stopped rather than waited for."""

FLV_RATE = 500
"""Viewers of HTTP-FLV that come in a second."""

OPENING_SECONDS = 60.0
"""For connections to be opened and accepted, on top of the time that is asked for."""


@frozen
class Watched:
    """What the watchers counted in their window."""

    watchers: int
    alive: int
    silent: int
    """Watchers that got nothing at all."""
    seconds: float
    bytes: int
    least_bytes: int
    """Of the watcher that got least."""
    longest_gap_ms: float
    """The longest time that any watcher got nothing for."""
    latency_max_ms: float
    latency: Histogram
    """Milliseconds from the writing of a frame by the publisher to its reading by a watcher; of a part of HLS: of the
    frame that has closed it, to the part's last byte."""
    requests: int = 0
    """That were answered, where watchers ask for what they get."""
    first_pictures_ms: Sequence[float] = ()
    """From the coming of a watcher to its first key frame, of those who look."""
    churned: int = 0
    """How often a watcher left and came back in the window."""

    @property
    def megabytes(self) -> float:
        """Delivered to all, in millions of bytes."""
        return self.bytes / 1e6


def watched(event: dict[str, Any]) -> Watched:
    """Reads the `end` event of the watchers."""
    width = event["latency_bucket_us"] / 1000
    return Watched(
        **{name: event[name] for name in ("watchers", "alive", "silent", "seconds", "bytes", "least_bytes")},
        longest_gap_ms=event["longest_gap_ms"],
        latency_max_ms=event["latency_max_us"] / 1000,
        latency=[((bucket + 1) * width, count) for bucket, count in event["latency"]],
        requests=event.get("requests", 0),
        first_pictures_ms=tuple(event.get("first_pictures_ms", ())),
        churned=event.get("churned", 0),
    )


@frozen
class Crowd:
    """How watchers come, and to which keys. `shares`: how many to `KEY0`, `KEY1`, ...; none: all to `KEY`."""

    shares: Sequence[int] = ()
    rate: int | None = None
    """That come in a second."""
    churn: float = 0.0
    """That leave and come back in a second of the window."""

    @property
    def options(self) -> list[str]:
        """For the tool."""
        shares = ",".join(map(str, self.shares))
        said = [(shares, f"shares={shares}"), (self.rate, str(self.rate)), (self.churn, f"churn={self.churn}")]
        return [option for value, option in said if value]


ONE_KEY = Crowd()


@define(eq=False)
class Watching:
    """Watchers that have been started."""

    pid: int
    events: Events
    seconds: float
    warm_up: float

    async def until_open(self) -> None:
        """Wait for the start of the window: all have connected and the warm-up is over."""
        await self.events.wait_for("start", self.warm_up + OPENING_SECONDS)

    async def until_end(self) -> Watched:
        """Wait for the end of the window, and what was counted in it."""
        return watched(await self.events.wait_for("end", self.seconds + OPENING_SECONDS))


class Window(Protocol):
    """How long is counted, and how long before is waited, in seconds."""

    @property
    def seconds(self) -> float: ...

    @property
    def warm_up(self) -> float: ...


@frozen
class Load:
    """The built tools; each run of one writes its complaints into `directory`."""

    directory: Path
    footage: Path

    @property
    def webcam(self) -> Path:
        """Footage of a webcam, beside the other one."""
        return self.footage.with_name("webcam.flv")

    @property
    def mbit(self) -> float:
        """Of the footage, a second."""
        return self.footage.stat().st_size * 8e-6 / FOOTAGE_SECONDS

    @asynccontextmanager
    async def publishing(
        self,
        port: int,
        *,
        count: int = 1,
        seconds: float = ENDLESS,
        stamp: bool = False,
        footage: Path | None = None,
        churn: float = 0,
    ) -> AsyncIterator[Events]:
        """Publishers that have begun to send; they end with the block. `churn`: so many leave and come back a second.

        Where there are several, they publish `KEY0`, `KEY1` and so on.
        """
        options = [*(["stamp"] if stamp else []), *([f"churn={churn}"] if churn else [])]
        arguments = [str(port), APP, KEY, str(count), str(seconds), str(footage or self.footage), *options]
        async with self._tool("publishers", arguments) as (events, _):
            await events.wait_for("start", OPENING_SECONDS)
            yield events

    @asynccontextmanager
    async def flooding(self, port: int, *, mbit: float, seconds: float) -> AsyncIterator[Events]:
        """A publisher of frames in the smallest chunks, under a key of its own, that has begun."""
        async with self._tool("flood", [str(port), APP, FLOOD_KEY, str(mbit), str(seconds)]) as (events, _):
            await events.wait_for("start", OPENING_SECONDS)
            yield events

    @asynccontextmanager
    async def encoder(self, port: int) -> AsyncIterator[None]:
        """FFmpeg, which publishes until the block ends. It begins within the warm-up of a window."""
        log = self.directory / "ffmpeg.log"
        log.write_bytes(b"")
        source = ("-re", "-stream_loop", "-1", "-i", str(self.footage), "-c", "copy")
        command = [ffmpeg(), *QUIET, *source, "-f", "flv", f"rtmp://127.0.0.1:{port}/{APP}/{KEY}"]
        async with child(command, directory=self.directory, log=log):
            yield

    @asynccontextmanager
    async def watching(
        self,
        port: int,
        count: int,
        *,
        seconds: float,
        warm_up: float,
        app: str = APP,
        flv: bool = False,
        crowd: Crowd = ONE_KEY,
    ) -> AsyncIterator[Watching]:
        """Watchers that begin to connect; `warm_up` seconds after the last one the window of `seconds` opens.

        With `flv` they ask for HTTP-FLV, at `FLV_RATE` a second: each connection begins with a request.
        """
        arguments = [str(port), app, KEY, str(count), str(warm_up), str(seconds), *crowd.options]
        async with self._tool("watchers", [*arguments, str(FLV_RATE), "flv"] if flv else arguments) as (events, pid):
            yield Watching(pid, events, seconds, warm_up)

    @asynccontextmanager
    async def following(
        self, port: int, count: int, effort: "Window", index: str = "index.m3u8"
    ) -> AsyncIterator[Watching]:
        """Viewers of Low-Latency HLS that begin to connect, with `index`; as `watching`."""
        arguments = ["follow", str(port), APP, KEY, str(count), str(effort.warm_up), str(effort.seconds), index]
        async with self._tool("viewers", arguments) as (events, pid):
            yield Watching(pid, events, effort.seconds, effort.warm_up)

    @asynccontextmanager
    async def fetching(
        self, port: int, count: int, paths: Sequence[str], interval_ms: int, effort: "Window"
    ) -> AsyncIterator[Watching]:
        """Viewers that each ask for all of `paths` every so often; as `watching`."""
        arguments = [str(port), str(interval_ms), str(count), str(effort.warm_up), str(effort.seconds), *paths]
        async with self._tool("viewers", ["fetch", *arguments]) as (events, pid):
            yield Watching(pid, events, effort.seconds, effort.warm_up)

    @asynccontextmanager
    async def _tool(self, name: str, arguments: list[str]) -> AsyncIterator[tuple[Events, int]]:
        log = self.directory / f"{name}.log"
        log.write_bytes(b"")
        command = [str(self.directory / name), *arguments]
        async with child(command, directory=self.directory, output=subprocess.PIPE, log=log) as process:
            assert process.stdout is not None
            yield Events(process.stdout, log), process.pid


def prepare(directory: Path) -> Load:
    """Build what is missing or older than its sources. Raises `NotPossible` without a compiler."""
    directory.mkdir(parents=True, exist_ok=True)
    for tool, parts in TOOLS.items():
        _build(directory / tool, parts)
    load = Load(directory, directory / "footage.flv")
    for footage, made in ((load.footage, FOOTAGE), (load.webcam, WEBCAM)):
        if not footage.exists():
            _make_footage(footage, made)
    return load


def _build(program: Path, parts: Sequence[str]) -> None:
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    if program.exists() and program.stat().st_mtime > newest:
        return
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NotPossible("a C compiler is needed for the load; on Debian: apt-get install gcc libc6-dev")
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), *parts], cwd=SOURCES, check=True)


def _make_footage(footage: Path, made: Sequence[str]) -> None:
    unfinished = footage.with_suffix(".part")
    subprocess.run([ffmpeg(), *QUIET, "-y", *made, str(unfinished)], check=True)
    unfinished.rename(footage)


def ffmpeg() -> str:
    """The program. Raises `NotPossible` without one."""
    found = shutil.which("ffmpeg") or shipped_with_imageio()
    if found is None:
        raise NotPossible("ffmpeg is needed as a load; on Debian: apt-get install ffmpeg")
    return found
