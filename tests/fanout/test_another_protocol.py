"""The fan-out serves any protocol: with a rendering for FLV, as HTTP-FLV would have it, and nothing else of its own."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import mmids_trio.fanout
import mmids_trio.net
from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import Output
from mmids_trio.fanout.rendering import Rendering
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.flv import FlvReader, FlvTag, TagType, flv_header, flv_tag
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryTransport, memory_connection

TYPES = {MediaKind.AUDIO: TagType.AUDIO, MediaKind.VIDEO: TagType.VIDEO, MediaKind.OTHER: TagType.SCRIPT}
PACKETS = generate_stream(seconds=4)
HALF = len(PACKETS) // 2
IMPORTS = {
    "net": {"addresses", "errors", "late", "net", "offload"},
    "fanout": {"fanout", "media", "media_memory", "net"},
}
"""What the packages that all protocols share may import of ours: nothing of any protocol."""


class FlvRendering:
    """Six lines are all that a protocol has to bring."""

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        return flv_tag(TYPES[packet.kind], timestamp, packet.data)

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        return flv_tag(TagType.SCRIPT, timestamp, repr(sorted(values)).encode())

    def stream_begin(self) -> bytes:
        return b""

    def stream_end(self) -> bytes:
        return b""


class FlvClient:
    """Reads tags as they come."""

    def __init__(self, channel: Channel, nursery: trio.Nursery) -> None:
        self._far_end, near_end = memory_connection(buffer_size=20_000)
        self._reader, self.tags = FlvReader(), list[FlvTag]()
        self.subscriber = Subscriber(Output(near_end))
        nursery.start_soon(self.subscriber.output.run)
        self.subscriber.output.write(flv_header(audio=True, video=True))
        channel.add(self.subscriber)

    async def read_all(self) -> None:
        await wait_all_tasks_blocked()
        while data := self._received(self._far_end):
            self.tags += self._reader.receive(data)
            await wait_all_tasks_blocked()

    @staticmethod
    def _received(far_end: MemoryTransport) -> bytes:
        return far_end.receive_nowait(65_536)

    @property
    def media(self) -> list[bytes]:
        return [tag.data for tag in self.tags if tag.type is not TagType.SCRIPT]


async def send(channel: Channel, packets: list[MediaPacket], *clients: FlvClient) -> None:
    for packet in packets:
        channel.packet(packet)
        await channel.send_pass()
        for client in clients:
            await client.read_all()


async def test_flv_goes_to_two_subscribers_and_a_late_joiner(nursery: trio.Nursery) -> None:
    rendering: Rendering = FlvRendering()
    channel = Channel(rendering)
    channel.begin_stream()
    one, other = FlvClient(channel, nursery), FlvClient(channel, nursery)
    await send(channel, PACKETS[:HALF], one, other)
    late = FlvClient(channel, nursery)
    await send(channel, PACKETS[HALF:], one, other, late)
    assert one.media == other.media == [packet.data for packet in PACKETS]
    headers = [packet for packet in PACKETS if packet.is_sequence_header]
    assert late.tags[0].type is TagType.SCRIPT
    assert sorted(late.media[: len(headers)]) == sorted(header.data for header in headers)
    rest = late.media[len(headers) :]
    assert rest == [packet.data for packet in PACKETS[len(PACKETS) - len(rest) :]]
    first = PACKETS[len(PACKETS) - len(rest)]
    assert first.is_key_frame
    assert first in PACKETS[:HALF]


async def test_what_does_not_fit_into_a_socket_follows_at_the_boundaries_of_tags(nursery: trio.Nursery) -> None:
    channel = Channel(FlvRendering())
    channel.begin_stream()
    client = FlvClient(channel, nursery)
    large = generate_stream(seconds=2, key_frame_bytes=100_000)
    await send(channel, large)
    await client.read_all()
    assert client.media == [packet.data for packet in large]


@pytest.mark.parametrize(("folder", "allowed"), IMPORTS.items())
def test_what_all_protocols_share_knows_none_of_them(folder: str, allowed: set[str]) -> None:
    package = {"net": mmids_trio.net, "fanout": mmids_trio.fanout}[folder]
    [place] = package.__path__
    found = set[str]()
    for path in Path(place).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.split(".")[1] for name in names if name.startswith("mmids_trio.")}
    assert found == allowed
