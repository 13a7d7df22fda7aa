"""Streams whose sources change, everything that a server sends of them, and what a decoder finds in each part.

A show has parts: recordings of different form, sent in real time by clients of our own, so that a connection can be
cut, taken over, or go on in another form.  What comes out is kept as it comes, in parts too: what follows another
sequence header, another connection or a discontinuity is another part.
"""

import json
import subprocess
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import groupby
from pathlib import Path

import trio
from attrs import Factory, define, evolve, field, frozen

from mmids_trio.ffmpeg.media_pipe import events_from_tags
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.flv import FlvReader, flv_header
from mmids_trio.media.payload import payload_of
from mmids_trio.net.transport import SocketNetwork
from mmids_trio.rtmp.flv_tags import packet_tag
from mmids_trio.rtmp.protocol.events import StreamEofReceived
from mmids_trio.testing.clients import RtmpClient

BUNDLED: str = import_module("imageio_ffmpeg").get_ffmpeg_exe()
"""The reader, which knows all codecs here; ffprobe comes from Debian."""

PART_SECONDS = 3
FPS = 25
DECODING_SECONDS = 60
"""What a look at a part may take; it needs about one."""

_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error")
_VIDEO = {
    "h264": ("libx264", "-preset", "ultrafast", "-sc_threshold", "0", "-bf", "0"),
    "hevc": ("libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=0:scenecut=0:open-gop=0"),
}
_AUDIO = {"aac": "aac", "mp3": "libmp3lame", "opus": "libopus"}


@frozen
class Form:
    """What a part is made of, and what a decoder has to find in it."""

    size: tuple[int, int] = (160, 90)
    profile: str = "Constrained Baseline"
    video: str = "h264"
    audio: str = "aac"
    sample_rate: int = 48_000
    channels: int = 1

    def record(self, path: Path) -> list[MediaPacket]:
        """A part, as packets; key frames every second."""
        width, height = self.size
        profile = {
            "Constrained Baseline": ("-profile:v", "baseline"),
            "High": ("-profile:v", "high", "-x264-params", "8x8dct=1:cabac=1"),
        }
        command = [
            *(BUNDLED, *_QUIET, "-y", "-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate={FPS}"),
            *("-f", "lavfi", "-i", f"sine=440:sample_rate={self.sample_rate}", "-t", str(PART_SECONDS)),
            *("-c:v", *_VIDEO[self.video], *profile.get(self.profile, ()), "-g", str(FPS), "-pix_fmt", "yuv420p"),
            *("-c:a", _AUDIO[self.audio], "-ar", str(self.sample_rate), "-ac", str(self.channels)),
            *("-f", "flv", str(path)),
        ]
        subprocess.run(command, check=True, timeout=DECODING_SECONDS)
        events = events_from_tags(StreamId("part"), FlvReader().receive(path.read_bytes()))
        packets = [event for event in events if isinstance(event, MediaPacket) and event.kind is not MediaKind.OTHER]
        frames = [packet.timestamp for packet in packets if not packet.is_sequence_header]
        return [packet for packet in packets if packet.timestamp < max(frames) or not packet.is_sequence_header]


# What is sent.


@define(eq=False)
class Source:
    """One connection of a publisher."""

    client: RtmpClient
    clock_ms: int = 0

    @classmethod
    async def connected(cls, port: int, key: str = "show") -> "Source":
        transport = await SocketNetwork().dial("127.0.0.1", port)
        client = await RtmpClient.connected(transport, "in")
        await client.publish(key)
        return cls(client)

    async def send(self, packets: Sequence[MediaPacket]) -> None:
        """In real time, on the connection's own clock."""
        began, base = trio.current_time(), self.clock_ms
        for timestamp, together in groupby(packets, lambda packet: packet.timestamp):
            await trio.sleep_until(began + timestamp / 1000)
            await self.client.send([evolve(packet, timestamp=base + timestamp) for packet in together])
            self.clock_ms = base + timestamp + 1000 // FPS

    def cut(self) -> None:
        """Without a goodbye."""
        self.client.close()

    async def leave(self) -> None:
        """With one."""
        await self.client.unpublish()
        self.client.close()


# What comes out.


@define(eq=False)
class Watcher:
    """Keeps all that a watcher gets, in one session."""

    client: RtmpClient

    @classmethod
    async def connected(cls, nursery: trio.Nursery, port: int, app: str) -> "Watcher":
        client = await RtmpClient.connected(await SocketNetwork().dial("127.0.0.1", port), app)
        await client.watch("show")
        watcher = cls(client)
        nursery.start_soon(watcher.run)
        return watcher

    async def run(self) -> None:
        """Until the server closes the connection."""
        try:
            await self.client.read_until_closed()
        finally:
            self.client.close()

    @property
    def sessions(self) -> int:
        """How many streams have ended for it."""
        return sum(isinstance(event, StreamEofReceived) for event in self.client.events)

    def has_seen(self, sessions: int) -> bool:
        """Whether so many streams have ended for it."""
        return self.sessions >= sessions

    def parts(self) -> list[list[MediaPacket]]:
        """The frames behind each set of sequence headers, with those in front."""
        return parts_of(self.client.packets)


@define
class _Part:
    """Frames that one decoder of each kind takes, and what it is told before."""

    headers: dict[MediaKind, MediaPacket] = Factory(dict)
    codecs: dict[MediaKind, str | None] = Factory(dict)
    frames: list[MediaPacket] = Factory(list)

    def takes(self, packet: MediaPacket, header: MediaPacket | None) -> bool:
        """Whether its decoders can go on with a frame that comes behind `header`."""
        if packet.kind not in self.codecs:
            return True
        known = self.headers.get(packet.kind)
        return self.codecs[packet.kind] == packet.codec and (known and known.data) == (header and header.data)

    def add(self, packet: MediaPacket, header: MediaPacket | None) -> None:
        self.codecs[packet.kind] = packet.codec
        if header is not None:
            self.headers[packet.kind] = header
        self.frames.append(packet)


def parts_of(packets: Iterable[MediaPacket]) -> list[list[MediaPacket]]:
    """What a decoder is given from one configuration to the next."""
    parts = [_Part()]
    known: dict[MediaKind, MediaPacket] = {}
    for packet in packets:
        if packet.is_sequence_header:
            payload = payload_of(packet)
            if payload is not None and not payload.is_description:  # which no decoder needs
                known[packet.kind] = packet
            continue
        header = known.get(packet.kind)
        if header is not None and header.codec != packet.codec:
            header = None
        if not parts[-1].takes(packet, header):
            parts.append(_Part())
        parts[-1].add(packet, header)
    return [[*part.headers.values(), *part.frames] for part in parts if part.frames]


@define(eq=False)
class TsListener:
    """Keeps what comes over TCP, a file for each connection."""

    directory: Path
    files: list[Path] = field(factory=list)

    async def serve(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Until cancelled; starts with the port."""
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            task_status.started(listener.socket.getsockname()[1])
            await trio.serve_listeners(self._keep, [listener], handler_nursery=nursery)

    async def _keep(self, stream: trio.SocketStream) -> None:
        path = self.directory / f"pushed-{len(self.files)}.ts"
        self.files.append(path)
        with path.open("wb") as file:
            async for data in stream:
                file.write(data)


def write_flv(packets: Sequence[MediaPacket], path: Path) -> Path:
    """A part for a reader of files; its clock starts near 0."""
    base = min(packet.timestamp for packet in packets if not packet.is_sequence_header)
    placed = (packet_tag(packet, max(packet.timestamp - base, 0)) for packet in packets)
    kinds = {packet.kind for packet in packets}
    head = flv_header(audio=MediaKind.AUDIO in kinds, video=MediaKind.VIDEO in kinds)
    path.write_bytes(head + b"".join(placed))
    return path


def hls_parts(playlist: Path) -> list[Path]:
    """The segments from one discontinuity to the next as one file each, behind their init segment."""
    found, init, part, names = list[Path](), b"", b"", list[str]()
    lines = playlist.read_text().splitlines()
    for line in [*lines, "#EXT-X-DISCONTINUITY"]:
        if line == "#EXT-X-DISCONTINUITY":
            if part:
                found.append(playlist.parent / f"part-{len(found)}{'.mp4' if init else '.ts'}")
                found[-1].write_bytes(init + part)
            part = b""
        elif line.startswith("#EXT-X-MAP"):
            init = (playlist.parent / line.split('"')[1]).read_bytes()
        elif not line.startswith("#"):
            names.append(line)
            part += (playlist.parent / line).read_bytes()
    numbers = [int(Path(name).stem.removeprefix(playlist.stem)) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "numbers go on"
    return found


@frozen
class Found:
    """What a decoder made of a part. `flaws`: every line that it complained with."""

    form: Form
    pictures: int
    flaws: str


async def look_at(path: Path) -> Found:
    """Decode all of a part; what it is made of is said by ffprobe, of a copy in a container that it can read."""
    copy = path.with_suffix(".mkv")
    decode = ("-fps_mode", "passthrough", "-enc_time_base:v", "1:1000", "-f", "null", "-")
    decoded = await _run(BUNDLED, *_QUIET, "-y", "-i", str(path), *decode, "-c", "copy", str(copy))
    entries = "stream=codec_type,codec_name,profile,width,height,sample_rate,channels,nb_read_packets"
    probed = await _run("ffprobe", "-v", "error", "-count_packets", "-of", "json", "-show_entries", entries, str(copy))
    streams = {stream["codec_type"]: stream for stream in json.loads(probed.stdout or b"{}").get("streams", [])}
    video, audio = streams.get("video", {}), streams.get("audio", {})
    form = Form(
        (video.get("width", 0), video.get("height", 0)),
        video.get("profile", ""),
        video.get("codec_name", ""),
        audio.get("codec_name", ""),
        int(audio.get("sample_rate", 0)),
        audio.get("channels", 0),
    )
    flaws = (decoded.stderr + probed.stderr).decode()
    return Found(form, int(video.get("nb_read_packets", 0)), flaws)


async def _run(*command: str) -> "subprocess.CompletedProcess[bytes]":
    with trio.fail_after(DECODING_SECONDS):
        return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
