"""Real ffmpeg for tests: which there are, media made with one, and what came out of one.

Everything here blocks, with a deadline, and is for tests marked `e2e`.
"""

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmids_trio.ffmpeg.feed import FeedFilter
from mmids_trio.ffmpeg.media_pipe import ChildMedia, events_from_tags
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId
from mmids_trio.media.flv import FlvReader

TIMEOUT = 30
"""Seconds; no run takes more than a few, and a hung one shall fail the test."""

_STREAM = StreamId("stream")


def executables() -> list[str]:
    """The ffmpeg on PATH and the one that comes with imageio-ffmpeg, as far as they are there."""
    found = [path] if (path := shutil.which("ffmpeg")) else []
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        found.append(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    return found


def run(*command: str) -> bytes:
    """What a command writes to its output; raises `subprocess.CalledProcessError`."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=TIMEOUT).stdout


def run_child(ffmpeg: str, arguments: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A child that is fed all at once, to its end, whatever that is."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [ffmpeg, *arguments], input=stdin, capture_output=True, check=False, timeout=TIMEOUT, env=environment
    )


def make_flv(path: Path, *, seconds: float, fps: int = 25) -> None:
    """Moving pictures (H.264, B frames, a key frame a second, 320x240) and a tone (AAC)."""
    run(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=320x240:rate={fps}:duration={seconds}"),
        *("-f", "lavfi", "-i", f"sine=duration={seconds}"),
        *("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", str(fps), "-c:a", "aac", str(path)),
    )


def probe(path: Path) -> Any:
    """What ffprobe says of streams and format."""
    command = ("ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format")
    return json.loads(run(*command, "-i", str(path.absolute())))


def events_of(flv: Path) -> list[MediaEvent]:
    """The media in a file, as a workflow would have it."""
    return events_from_tags(_STREAM, FlvReader().receive(flv.read_bytes()))


def packets_of(data: bytes) -> list[MediaPacket]:
    """The packets in what a child wrote or is fed."""
    media = ChildMedia(_STREAM)
    media.begin()
    return [event for event in media.receive(data) if isinstance(event, MediaPacket)]


def frames(packets: Sequence[MediaPacket], kind: MediaKind) -> list[MediaPacket]:
    """Those of one kind, without sequence headers."""
    return [packet for packet in packets if packet.kind is kind and not packet.is_sequence_header]


def feed_of(flv: Path, start: int = 0) -> bytes:
    """What a child gets of a stream like the file, which it joins at the `start`th event."""
    feed = FeedFilter()
    events = events_of(flv)
    headers = [event for event in events[:start] if not isinstance(event, MediaPacket) or event.is_sequence_header]
    return feed.begin() + b"".join(map(feed.render, [*headers, *events[start:]]))
