"""An RTMP client for tests: publishes generated packets, watches, and says what came of it.

It has no task of its own. Each method reads just as long as it needs to, so a test decides when a client reads and
when it does not; one that shall keep up with a stream gets a task that runs `read_until_closed`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import trio
from attrs import define, field

from mmids_trio.errors import MmidsError
from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.net.transport import Transport
from mmids_trio.rtmp.protocol.client_connection import ClientConnection
from mmids_trio.rtmp.protocol.events import (
    ClientConnected,
    ClientEvent,
    MediaReceived,
    MetadataReceived,
    PlayStarted,
    PublishStarted,
    RefusalReceived,
    StatusReceived,
)
from mmids_trio.rtmp.protocol.message import AUDIO, VIDEO, Message
from mmids_trio.testing.checker import Report, StreamChecker
from mmids_trio.testing.network import MemoryTransport

READ_SIZE = 64 * 1024

HALF_OF_TIME = 2**31
"""Milliseconds; a timestamp that is further ahead of another is behind it (RTMP 1.0 §5.3.1.1)."""

_TYPES = {MediaKind.AUDIO: AUDIO, MediaKind.VIDEO: VIDEO}


class ClientRefused(MmidsError):
    """The server refused what the client asked for; `code` is the RTMP status code."""

    def __init__(self, refusal: RefusalReceived) -> None:
        super().__init__(f"{refusal.code}: {refusal.description}")
        self.code = refusal.code
        self.description = refusal.description


class Disconnected(MmidsError):
    """The server closed the connection."""


@define(eq=False)
class AnyRtmpClient:
    """One connection of any kind, which it owns. What the server said is kept in `events`, media also in `packets`."""

    transport: Transport
    app: str = "live"
    connection: ClientConnection = field(init=False)
    events: list[ClientEvent] = field(factory=list, init=False)
    packets: list[MediaPacket] = field(factory=list, init=False)
    """Audio and video that it got; their stream id is the key that it watches."""
    is_disconnected: bool = field(default=False, init=False)
    """Whether the end of the connection was read."""
    _key: str = field(default="", init=False)

    def __attrs_post_init__(self) -> None:
        self.connection = ClientConnection(os.urandom, self.app, f"rtmp://server/{self.app}")

    @classmethod
    async def connected(cls, transport: Transport, app: str = "live") -> Self:
        """A client that has got as far as an accepted `connect`. Raises `ClientRefused`."""
        client = cls(transport, app)
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client

    async def connect(self) -> None:
        """Shake hands and `connect`. Raises `ClientRefused` or `Disconnected`."""
        await self.flush()
        await self.wait_for(ClientConnected)

    # Publishing.

    async def publish(self, key: str, packets: Iterable[MediaPacket] = ()) -> None:
        """Become the publisher of `key`, and send `packets`, all in one instant (see `play`).

        Raises `ClientRefused` or `Disconnected`.
        """
        self.connection.publish(key)
        await self.flush()
        await self.wait_for(PublishStarted)
        await self.send(packets)

    async def send(self, packets: Iterable[MediaPacket]) -> None:
        """Send packets at once, whatever their stream id says; waits while the server takes no more."""
        for packet in packets:
            self.connection.send_media(_TYPES[packet.kind], packet.timestamp, packet.data)
        await self.flush()

    async def play(self, packets: Iterable[MediaPacket]) -> None:
        """Send each packet in its time, the first one now: as long after it as their timestamps are apart.

        Timestamps may wrap; one that goes back is sent at once.  Raises `Disconnected`.
        """
        began, elapsed_ms = trio.current_time(), 0
        before: int | None = None
        for packet in packets:
            if before is not None:
                elapsed_ms += (packet.timestamp - before + HALF_OF_TIME) % (2 * HALF_OF_TIME) - HALF_OF_TIME
                await trio.sleep_until(began + elapsed_ms / 1000)
            before = packet.timestamp
            await self.send([packet])

    async def send_metadata(self, values: Mapping[str, object]) -> None:
        """Send `onMetaData`."""
        self.connection.send_metadata(values)
        await self.flush()

    async def unpublish(self) -> None:
        """End the stream; the connection stays."""
        self.connection.unpublish()
        await self.flush()

    # Watching.

    async def watch(self, key: str) -> None:
        """Become a watcher of `key`. Raises `ClientRefused` or `Disconnected`."""
        self._key = key
        self.connection.play(key)
        await self.flush()
        await self.wait_for(PlayStarted)

    async def receive(self, count: int) -> Sequence[MediaPacket]:
        """The packets so far, once there are at least `count` of them."""
        await self.read_until(lambda: len(self.packets) >= count)
        return self.packets

    async def stop_watching(self) -> None:
        """Stop playing; the connection stays."""
        self.connection.stop_playing()
        await self.flush()

    @property
    def metadata(self) -> list[Mapping[str, object]]:
        """All metadata that it got."""
        return [event.values for event in self.events if isinstance(event, MetadataReceived)]

    @property
    def statuses(self) -> list[str]:
        """The codes of all statuses and refusals that it got."""
        return [event.code for event in self.events if isinstance(event, (StatusReceived, RefusalReceived))]

    def report(self, sent: Sequence[MediaPacket]) -> Report:
        """What became of the stream `sent` on the way here."""
        checker = StreamChecker(sent)
        checker.receive_packets(self.packets)
        return checker.report()

    # Everything else.

    async def command(self, name: str, *arguments: object, stream: int = 0) -> None:
        """Send any other command (`pause`, `receiveVideo`, ...), on message stream `stream`."""
        self.connection.send_command(name, *arguments, stream=stream)
        await self.flush()

    async def flush(self) -> None:
        """Send what the protocol wants to be sent. Raises `Disconnected`."""
        try:
            await self.transport.send_all(self.connection.data_to_send())
        except trio.BrokenResourceError as error:
            raise Disconnected("the server closed the connection") from error

    async def wait_for(self, wanted: type[ClientEvent]) -> None:
        """Read until a `wanted` event comes. Raises `ClientRefused` where a refusal comes instead."""
        place = len(self.events)
        await self.read_until(
            lambda: any(isinstance(event, (wanted, RefusalReceived)) for event in self.events[place:])
        )
        for event in self.events[place:]:
            if isinstance(event, RefusalReceived):
                raise ClientRefused(event)

    async def read_until(self, condition: Callable[[], bool]) -> None:
        """Read until `condition` holds. Raises `Disconnected` if it cannot any more."""
        while not condition():
            await self.read_some()
            if self.is_disconnected and not condition():
                raise Disconnected("the server closed the connection")

    async def read_until_closed(self) -> None:
        """Read, and answer what wants an answer, until the server closes the connection."""
        while not self.is_disconnected:
            await self.read_some()

    async def read_some(self) -> None:
        """Read once, and answer what wants an answer."""
        try:
            data = await self.transport.receive_some(READ_SIZE)
            self.is_disconnected = not data
            self._take(self.connection.receive_data(data))
            if answers := self.connection.data_to_send():
                await self.transport.send_all(answers)
        except trio.BrokenResourceError:
            self.is_disconnected = True

    def _take(self, events: Iterable[ClientEvent]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, MediaReceived):
                self.packets += [self._packet(message) for message in event.messages]

    def _packet(self, message: Message) -> MediaPacket:
        parse = parse_video if message.type_id == VIDEO else parse_audio
        return parse(StreamId(self._key), message.timestamp, message.payload)

    def close(self) -> None:
        """Close the connection without a word."""
        self.transport.close()


class RtmpClient(AnyRtmpClient):
    """A client of a harness: its connection is in memory, where a test may reset it, or have its peer vanish."""

    transport: MemoryTransport
