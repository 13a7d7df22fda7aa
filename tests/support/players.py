"""A player without a session: a watcher of the fan-out, and the far end of its connection.

For tests of what a channel sends; whoever tests sessions speaks RTMP to them instead.
"""

import trio
import trio.testing
from attrs import define, field

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.rtmp.broadcast import Channel
from mmids_trio.rtmp.protocol.chunk_reader import ChunkReader
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.message_types import USER_CONTROL
from mmids_trio.rtmp.protocol.rendering import OUTGOING_CHUNK_SIZE
from mmids_trio.rtmp.watcher import Watcher
from mmids_trio.rtmp.watching import WatcherEnd
from mmids_trio.testing.checker import Report, StreamChecker
from mmids_trio.testing.network import DEFAULT_BUFFER, MemoryTransport, memory_connection

_KINDS = {8: MediaKind.AUDIO, 9: MediaKind.VIDEO}
_AVC_KEY_FRAME = 0x17


@define(eq=False)
class Player:
    """Reads when it is told to, and remembers all that it got."""

    watcher: Watcher
    far_end: MemoryTransport
    received: bytearray = field(factory=bytearray)
    messages: list[Message] = field(factory=list)
    outcome: WatcherEnd | None = None
    """What the watcher's `run` has returned."""
    _reader: ChunkReader = field(factory=ChunkReader)

    def __attrs_post_init__(self) -> None:
        self._reader.chunk_size = OUTGOING_CHUNK_SIZE

    @classmethod
    def connected(cls, *, buffer_size: int = DEFAULT_BUFFER) -> "Player":
        """A player that watches nothing yet."""
        far_end, near_end = memory_connection(buffer_size=buffer_size)
        return cls(Watcher(near_end), far_end)

    async def run(self) -> None:
        """The watcher's own task."""
        self.outcome = await self.watcher.run()

    def read(self, max_bytes: int = DEFAULT_BUFFER) -> int:
        """Read what is there, up to `max_bytes`; returns how much that was."""
        data = self.far_end.receive_nowait(max_bytes)
        self.received += data
        self.messages += self._reader.receive(data)
        return len(data)

    async def read_all(self) -> None:
        """Read until nothing more comes."""
        await trio.testing.wait_all_tasks_blocked()
        while self.read():
            await trio.testing.wait_all_tasks_blocked()

    def summary(self) -> list[str]:
        """The messages in short, one word each: `begin`, `end`, `metadata`, `video@40`, `header:audio@0`, ..."""
        return [_in_short(message) for message in self.messages]

    def media(self) -> list[tuple[MediaKind, int, bytes]]:
        """Kind, timestamp and FLV tag body of every audio and video message."""
        return [
            (_KINDS[message.type_id], message.timestamp, message.payload)
            for message in self.messages
            if message.type_id in _KINDS
        ]

    def report(self, sent: list[MediaPacket]) -> Report:
        """What became of `sent` on the way here."""
        checker = StreamChecker(sent)
        for kind, timestamp, data in self.media():
            checker.receive(kind, timestamp, data)
        return checker.report()


def watch(
    channel: Channel, nursery: trio.Nursery, *, buffer_size: int = DEFAULT_BUFFER, message_stream_id: int = 1
) -> Player:
    """A new player that watches `channel`; its watcher's task runs in `nursery`."""
    player = Player.connected(buffer_size=buffer_size)
    nursery.start_soon(player.run)
    channel.add(player.watcher, message_stream_id)
    return player


async def feed(channel: Channel, packets: list[MediaPacket], *readers: Player) -> None:
    """Packet by packet with a pass after each; `readers` read along as players with good connections do."""
    for packet in packets:
        channel.packet(packet)
        await channel.send_pass()
        for player in readers:
            player.read()


def _in_short(message: Message) -> str:
    if message.type_id == USER_CONTROL:
        return {0: "begin", 1: "end"}.get(int.from_bytes(message.payload[:2], "big"), "control")
    if message.type_id not in _KINDS:
        return "metadata" if b"onMetaData" in message.payload[:16] else f"message {message.type_id}"
    kind = _KINDS[message.type_id].value
    is_header = message.payload[1] == 0
    is_key = message.payload[0] == _AVC_KEY_FRAME and not is_header
    label = f"header:{kind}" if is_header else f"key:{kind}" if is_key else kind
    return f"{label}@{message.timestamp}"
