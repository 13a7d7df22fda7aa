"""A little sound of a publisher waits in the system for the frame behind it: on real sockets, with a clock that stands.

The time stands until a test moves it, and a test moves it once the bytes have arrived. So nothing here depends on how
fast the machine is.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.net.transport import SocketListener, SocketNetwork, SocketTransport
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.rtmp.server.session import ALONE_WAITS_SECONDS, SMALL_FRAMES_SECONDS, SOUND_BYTES
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.step_ends import FakeStepContext
from tests.support.publishing_handler import Stream

TIMEOUT = 30.0
"""Seconds without a frame after which a publisher is sent away."""

ALMOST = ALONE_WAITS_SECONDS - 0.001
SOUND = b"\xaf\x01" + bytes(300)
FRAME = b"\x27\x01\0\0\0" + bytes(SOUND_BYTES)
SMALL_FRAME = b"\x27\x01\0\0\0" + bytes(200)


class KeptListener(SocketListener):
    """Keeps what it has accepted."""

    accepted: list[SocketTransport]

    async def accept(self) -> SocketTransport:
        transport = await super().accept()
        self.accepted.append(transport)
        return transport


class OnFreePort(SocketNetwork):
    """The system's network; whatever port is asked for, it is a free one."""

    listener: KeptListener

    def listen(self, host: str | None, port: int) -> SocketListener:
        listening = super().listen("127.0.0.1", 0)
        self.listener = KeptListener(listening._sockets)
        self.listener.accepted = []
        return self.listener


@define(eq=False)
class Publisher:
    """A client that has sent its first frame, and what has been taken of it."""

    client: RtmpClient
    server_end: SocketTransport
    clock: MockClock
    stream: Stream
    _times: "count[int]" = field(factory=lambda: count(1), init=False)

    async def send(self, *payloads: bytes) -> None:
        """All in one instant; returns once all of it has arrived."""
        client = self.client
        for payload in payloads:
            kind = types.VIDEO if payload[0] & 0x0F == 7 else types.AUDIO
            client.connection.send_media(kind, next(self._times), payload)
        data = client.connection.data_to_send()
        taken = self.count
        await client.transport.send_all(data)
        while not self.server_end.has_arrived(len(data)) and self.count == taken:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()

    async def pass_time(self, seconds: float) -> None:
        """And let everybody do what is to be done then."""
        self.clock.jump(seconds)
        await wait_all_tasks_blocked()

    @property
    def count(self) -> int:
        """How many packets have been taken."""
        return len(self.stream.story)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def publishing(clock: MockClock, *, merge_reads: bool = True) -> AsyncIterator[Publisher]:
    network, stream = OnFreePort(), Stream(takes_now=True)
    stream.has_room.set()
    server = RtmpServer(network, merge_reads=merge_reads, publisher_timeout=TIMEOUT)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with server.serve(Registration(Role.PUBLISH, 1935, "live", "*"), FakeStepContext(), stream):
            client = await RtmpClient.connected(await network.dial("127.0.0.1", network.listener.port))
            try:
                await client.publish("key")
                publisher = Publisher(client, network.listener.accepted[0], clock, stream)
                await publisher.send(FRAME)
                await until(lambda: publisher.count == 1)
                yield publisher
            finally:
                client.close()
        nursery.cancel_scope.cancel()


async def test_sound_waits_for_the_frame_behind_it(mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        await publisher.send(SOUND)
        await publisher.send(SOUND)
        await publisher.pass_time(ALMOST)
        assert publisher.count == 1
        await publisher.send(FRAME)
        assert publisher.count == 4


async def test_sound_alone_waits_for_no_longer_than_a_frame_takes(mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        for number in range(3):
            await publisher.send(SOUND)
            await publisher.pass_time(ALMOST)
            assert publisher.count == 1 + number
            await publisher.pass_time(0.001)
            assert publisher.count == 2 + number


async def test_what_comes_after_a_silence_is_had_at_once(mock_clock: MockClock) -> None:
    """Who sends nothing for so long is waited for as ever, and not looked after again and again."""
    async with publishing(mock_clock) as publisher:
        await publisher.pass_time(ALONE_WAITS_SECONDS)
        await publisher.send(SOUND)
        assert publisher.count == 2


async def test_nothing_waits_where_reads_are_not_merged(mock_clock: MockClock) -> None:
    async with publishing(mock_clock, merge_reads=False) as publisher:
        for number in range(3):
            await publisher.send(SOUND)
            assert publisher.count == 2 + number


async def test_who_sends_small_frames_is_read_at_once_for_a_while(mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        await publisher.send(SMALL_FRAME)
        await publisher.pass_time(ALONE_WAITS_SECONDS)
        assert publisher.count == 2  # the one that was found to wait
        for number in range(3):
            await publisher.send(SMALL_FRAME)
            assert publisher.count == 3 + number
        await publisher.pass_time(SMALL_FRAMES_SECONDS)
        await publisher.send(SOUND)
        assert publisher.count == 6  # it was waited for as before
        await publisher.send(SOUND)
        assert publisher.count == 6


async def test_the_rest_of_a_frame_does_not_wait(mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        publisher.client.connection.send_media(types.VIDEO, 50, FRAME)
        data = publisher.client.connection.data_to_send()
        await publisher.client.transport.send_all(data[:-10])
        await until(lambda: not publisher.server_end.has_arrived(1))
        await publisher.client.transport.send_all(data[-10:])
        await until(lambda: publisher.count == 2)


@pytest.mark.parametrize("sound", [b"", SOUND])
async def test_who_leaves_is_not_waited_for(sound: bytes, mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        if sound:
            await publisher.send(sound)
        publisher.client.close()
        await until(lambda: publisher.stream.story[-1] == "end")
        assert publisher.count == 3 + bool(sound)


async def test_a_silent_publisher_is_sent_away_in_its_time(mock_clock: MockClock) -> None:
    async with publishing(mock_clock) as publisher:
        await publisher.pass_time(ALONE_WAITS_SECONDS)
        await publisher.pass_time(TIMEOUT - ALONE_WAITS_SECONDS - 0.001)
        assert publisher.count == 1
        await publisher.pass_time(0.001)
        assert publisher.stream.story[-1] == "end"
