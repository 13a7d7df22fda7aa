"""Encoders and players on real sockets that note what they see of time: many of them in one test, without ffmpeg."""

from collections.abc import Sequence
from itertools import pairwise

import trio
from attrs import define, field

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.net.transport import SocketNetwork
from mmids_trio.testing.clients import AnyRtmpClient, ClientRefused, Disconnected
from mmids_trio.testing.media import generate_stream

SHOW = generate_stream(seconds=2)
"""Which encoders repeat."""

RETRY_SECONDS = 0.5
"""From one try of an encoder or a player to the next."""

GONE = (OSError, ClientRefused, Disconnected, trio.BrokenResourceError, trio.ClosedResourceError)


async def connected(port: int) -> AnyRtmpClient:
    """A client of a server on this machine."""
    return await AnyRtmpClient.connected(await SocketNetwork().dial("127.0.0.1", port))


@define(eq=False)
class Encoder:
    """Publishes `key` to the first of `ports` that takes it, one after another, again and again."""

    ports: Sequence[int]
    key: str = "show"
    at: int | None = field(default=None, init=False)
    """Where it publishes now."""
    refusals: list[str] = field(factory=list, init=False)
    _client: AnyRtmpClient | None = field(default=None, init=False)

    def move(self) -> None:
        """Close the connection, as an encoder that is asked to connect again."""
        assert self._client is not None
        self._client.close()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for port in self.ports:
                try:
                    await self._publish(port)
                except GONE as error:
                    if isinstance(error, ClientRefused):
                        self.refusals.append(str(error))
                    self.at = None
                await trio.sleep(RETRY_SECONDS)

    async def _publish(self, port: int) -> None:
        client = self._client = await connected(port)
        try:
            async with trio.open_nursery() as nursery:
                await client.publish(self.key)
                self.at = port
                nursery.start_soon(self._read, client)
                while True:
                    await client.play(SHOW)
                    await trio.sleep(0.04)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            client.close()

    async def _read(self, client: AnyRtmpClient) -> None:
        await client.read_until_closed()
        raise Disconnected("the server closed the connection")


@define(eq=False)
class Player:
    """Watches `key` and stays, with the time at which each packet came."""

    port: int
    key: str = "show"
    times: list[float] = field(factory=list, init=False)
    ended: bool = field(default=False, init=False)
    """Whether it was disconnected."""
    _last: dict[MediaKind, int] = field(factory=dict, init=False)
    went_back: int = field(default=0, init=False)
    """How often a timestamp was before the one before it."""
    joined_at: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Until it is disconnected, or cancelled."""
        self.joined_at = trio.current_time()
        client = await connected(self.port)
        try:
            await client.watch(self.key)
            while not client.is_disconnected:
                await client.read_some()
                self._note(client.packets)
                client.packets.clear()
                client.events.clear()
            self.ended = True
        finally:
            client.close()

    def _note(self, packets: Sequence[MediaPacket]) -> None:
        for packet in packets:
            if not packet.is_sequence_header:
                self.went_back += packet.timestamp < self._last.get(packet.kind, 0)
                self._last[packet.kind] = packet.timestamp
        if packets:
            self.times.append(trio.current_time())

    def gap(self, since: float) -> float:
        """The longest time without media after `since`, or after its first."""
        since = max(since, self.times[0])
        times = [since, *(time for time in self.times if time > since), trio.current_time()]
        return max(later - earlier for earlier, later in pairwise(times))

    @property
    def is_served(self) -> bool:
        """Whether media have come lately."""
        return bool(self.times) and trio.current_time() - self.times[-1] < 1
