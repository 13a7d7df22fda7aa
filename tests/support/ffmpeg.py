"""Publishers and players that are not ours: ffmpeg, ffprobe and rtmpdump, and what they say of each packet.

A packet is known by the hash of its bytes.  `Recording` says which packets there are to publish; the players print
the hashes of what they get, so that one look tells whether a packet was lost, changed, repeated or misplaced.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import trio
from attrs import define, frozen

from tests.support.processes import Child, start

FRAMES_PER_SECOND = 30
GOP_FRAMES = 30
"""From key frame to key frame: one second."""

MAKING_SECONDS = 60
"""What ffmpeg may take to make a file; it needs about one."""

_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")
_PICTURE = "testsrc2=size=160x90:rate=30"
_SOUND = "anoisesrc=seed=1:sample_rate=44100:amplitude=0.3"  # noise, so that no two packets are equal
_GOP = ("-g", str(GOP_FRAMES), "-sc_threshold", "0")
_AAC = ("-c:a", "aac", "-ac", "1", "-b:a", "32k")
_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", *_GOP, "-pix_fmt", "yuv420p", "-b:v", "150k")
_HEAVY_PICTURE = ("-f", "rawvideo", "-s", "320x240", "-pix_fmt", "yuv420p", "-r", "30", "-i", "/dev/urandom")
_HEAVY_H264 = ("-c:v", "libx264", "-preset", "ultrafast", *_GOP, "-crf", "12")
VIDEO, AUDIO = "0", "1"
"""Streams of a player, as `play_command` maps them."""

_DTS, _HASH = 1, 5
"""Columns of ffmpeg's framemd5; behind them come side data, such as a new sequence header."""

_HASHES = ("-show_packets", "-show_data_hash", "md5", "-of", "json", "-show_entries")
_ENTRIES = "packet=codec_type,flags,data_hash,dts,pts"


T = TypeVar("T", str, bytes)
"""A packet, or its hash."""


@frozen
class Packet:
    """One packet as ffprobe sees it; times in milliseconds."""

    kind: str
    """`video` or `audio`."""
    hash: str
    dts: int
    pts: int
    is_key_frame: bool


@frozen
class Packets:
    """Hashes of packets in their order, each kind for itself (how the kinds interleave is a muxer's business)."""

    video: tuple[str, ...]
    audio: tuple[str, ...]


@frozen
class Recording:
    """A file to publish (H.264 with B-frames, AAC), and its packets."""

    path: Path
    packets: Packets
    key_frames: frozenset[str]


def record(path: Path, seconds: int) -> Recording:
    """Make a FLV file; no two packets of it are equal."""
    return _make(path, ["-f", "lavfi", "-i", _PICTURE], seconds, _H264)


def record_noise(path: Path, seconds: int) -> Recording:
    """Make a FLV file of some 25 Mbit/s, which soon fills the socket of whoever does not read."""
    return _make(path, _HEAVY_PICTURE, seconds, _HEAVY_H264)


def _make(path: Path, picture: Sequence[str], seconds: int, encoding: Sequence[str]) -> Recording:
    sound = ("-f", "lavfi", "-i", _SOUND)
    command = ["ffmpeg", *_QUIET, "-y", *picture, *sound, "-t", str(seconds), *encoding, *_AAC, "-f", "flv", str(path)]
    subprocess.run(command, check=True, timeout=MAKING_SECONDS)
    found = probe(path)
    key_frames = frozenset(packet.hash for packet in found if packet.kind == "video" and packet.is_key_frame)
    return Recording(path, in_order(found), key_frames)


def probe(path: Path) -> list[Packet]:
    """The packets of a file."""
    command = ["ffprobe", "-v", "error", *_HASHES, _ENTRIES, str(path)]
    done = subprocess.run(command, check=True, timeout=MAKING_SECONDS, capture_output=True)
    return read_probe(done.stdout.decode())


def read_probe(printed: str) -> list[Packet]:
    """The packets in what `probe_command` (or ffprobe with the same options) has printed."""
    return [
        Packet(
            entry["codec_type"],
            entry["data_hash"].removeprefix("MD5:"),
            int(entry["dts"]),
            int(entry["pts"]),
            "K" in entry["flags"],
        )
        for entry in json.loads(printed)["packets"]
        if entry["codec_type"] in ("video", "audio")
    ]


def in_order(packets: Sequence[Packet]) -> Packets:
    """Their hashes."""
    return Packets(
        tuple(packet.hash for packet in packets if packet.kind == "video"),
        tuple(packet.hash for packet in packets if packet.kind == "audio"),
    )


def publish_command(file: Path, url: str) -> list[str]:
    """ffmpeg, publishing a file at the speed of its clock."""
    return ["ffmpeg", *_QUIET, "-re", "-i", str(file), "-c", "copy", "-f", "flv", url]


def play_command(url: str) -> list[str]:
    """ffmpeg, printing every packet that it gets as soon as it may."""
    streams = ("-map", "0:v", "-map", "0:a", "-c", "copy", "-copyts")
    return ["ffmpeg", *_QUIET, "-i", url, *streams, "-f", "framemd5", "-flush_packets", "1", "pipe:1"]


def probe_command(url: str, packets: int) -> list[str]:
    """ffprobe, leaving after so many packets."""
    return ["ffprobe", "-v", "error", *_HASHES, _ENTRIES, "-read_intervals", f"%+#{packets}", url]


def dump_command(url: str, file: Path) -> list[str]:
    """rtmpdump, storing what it gets."""
    return ["rtmpdump", "--quiet", "--live", "--rtmp", url, "--flv", str(file)]


def decode_command(url: str, frames: int, ffmpeg: str = "ffmpeg") -> list[str]:
    """An ffmpeg, decoding so many pictures and complaining of every flaw."""
    as_it_comes = ("-fps_mode", "passthrough", "-enc_time_base:v", "1:1000")
    begin = [ffmpeg, *_QUIET, "-err_detect", "explode", "-i", url, "-frames:v", str(frames)]
    return [*begin, *as_it_comes, "-f", "null", "-"]


@define(eq=False)
class Player:
    """An ffmpeg that was started with `play_command`."""

    child: Child

    async def gets(self, count: int) -> None:
        """Wait until it has printed `count` video packets, all told."""
        await self.child.out.until(lambda _lines: len(self.packets.video) >= count, f"{count} video packets")

    async def gets_more(self, count: int = GOP_FRAMES) -> None:
        """Wait for `count` video packets more than it has printed by now."""
        await self.gets(len(self.packets.video) + count)

    @property
    def packets(self) -> Packets:
        """What it has printed so far."""
        video, audio = (tuple(row[_HASH].strip() for row in self._rows(stream)) for stream in (VIDEO, AUDIO))
        return Packets(video, audio)

    def times(self, stream: str) -> list[int]:
        """Decoding times of the packets of `VIDEO` or `AUDIO` so far, in milliseconds."""
        return [int(row[_DTS]) for row in self._rows(stream)]

    def _rows(self, stream: str) -> list[list[str]]:
        return [line.split(",") for line in self.child.out.lines if line.startswith(f"{stream},")]


@frozen
class Crew:
    """Starts publishers and players in a nursery."""

    nursery: trio.Nursery

    async def publish(self, recording: Recording, url: str) -> Child:
        """An ffmpeg that publishes."""
        return await start(self.nursery, publish_command(recording.path, url), name="publisher")

    async def play(self, url: str) -> Player:
        """An ffmpeg that plays."""
        return Player(await start(self.nursery, play_command(url), name="player"))

    async def probe(self, url: str, packets: int) -> Child:
        """An ffprobe that watches until it has seen so many packets."""
        return await start(self.nursery, probe_command(url, packets))

    async def list_tracks(self, url: str) -> Child:
        """An ffprobe that prints codec and kind of each track."""
        entries = ("-show_entries", "stream=codec_name,codec_type", "-of", "csv=p=0")
        return await start(self.nursery, ["ffprobe", "-v", "error", *entries, url])

    async def decode(self, url: str, frames: int, ffmpeg: str = "ffmpeg") -> Child:
        """An ffmpeg that decodes so many pictures; whatever it prints is a flaw."""
        return await start(self.nursery, decode_command(url, frames, ffmpeg), name="decoder")

    async def dump(self, url: str, file: Path) -> Child:
        """An rtmpdump that stores what it watches."""
        return await start(self.nursery, dump_command(url, file))


def place_of(received: Sequence[T], published: Sequence[T]) -> int:
    """Where in `published` what was received begins; raises `AssertionError` unless it goes on without a gap."""
    if not received:
        raise AssertionError("no packet was received")
    if received[0] not in published:
        raise AssertionError(f"the first of {len(received)} packets was never published")
    start = published.index(received[0])
    for number, packet in enumerate(received):
        expected = published[start + number] if start + number < len(published) else None
        if packet != expected:
            where = published.index(packet) if packet in published else "nowhere"
            raise AssertionError(
                f"packet {number} of {len(received)}: expected number {start + number} of {len(published)} published, "
                f"got number {where}"
            )
    return start
