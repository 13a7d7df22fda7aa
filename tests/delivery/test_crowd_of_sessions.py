"""Connections of the media listener on real sockets: one task reads them, and each still ends by itself."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.delivery.session import IDLE_SECONDS, MediaSession
from mmids_trio.net.crowd_reader import CrowdReader
from mmids_trio.net.transport import SocketTransport
from mmids_trio.rejections import RejectReason
from mmids_trio.testing.media import generate_stream
from tests.support.calls import counted_calls
from tests.support.hls_sessions import asking, hint, on_air

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll")

COUNT = 8


class Crowd:
    """Clients of `sessions`, and which of those have ended, with what."""

    def __init__(self) -> None:
        self.channel, self.viewer, _, [pattern] = on_air(iter(generate_stream(seconds=10)), 1)
        pairs = [socket.socketpair() for _ in range(COUNT)]
        self.clients = [far for _, far in pairs]
        self.reader = CrowdReader()
        self.sessions = [
            MediaSession(SocketTransport(near), 8080, pattern.directory, crowd=self.reader) for near, _ in pairs
        ]
        self.ended = dict[MediaSession, BaseException | None]()

    async def serve(self, session: MediaSession) -> None:
        try:
            await session.run()
        except* RuntimeError as group:
            self.ended[session] = group
        else:
            self.ended[session] = None

    async def all_ask(self, name: str) -> list[bytes]:
        """What they have got once nothing more happens."""
        for client in self.clients:
            client.send(asking(name, self.viewer))
        await wait_all_tasks_blocked()
        return [self.got(client) for client in self.clients]

    def got(self, client: socket.socket) -> bytes:
        try:
            return client.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    found = Crowd()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.reader.run)
        await wait_all_tasks_blocked()
        for session in found.sessions:
            nursery.start_soon(found.serve, session)
        await wait_all_tasks_blocked()
        yield found
        nursery.cancel_scope.cancel()
    for client in found.clients:
        client.close()


async def test_requests_wake_no_task_of_a_connection(mock_clock: MockClock) -> None:
    async with crowd() as c:
        with counted_calls() as seen:
            answers = await c.all_ask("media.m3u8")
        assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}
        assert seen["MediaSession.read_nowait"] == seen["SocketTransport.receive_nowait"] == COUNT
        assert seen["MediaSession._receive"] == seen["SocketTransport.receive_some"] == 0


async def test_a_part_that_is_waited_for_comes_to_who_is_read_here(mock_clock: MockClock) -> None:
    async with crowd() as c:
        name, packets = hint(c.channel), iter(generate_stream(seconds=30)[400:])
        assert set(await c.all_ask(name)) == {b""}
        while hint(c.channel) == name:
            c.channel.packet(next(packets))
        await c.channel.send_pass()
        assert {c.got(client)[:13] for client in c.clients} == {b"HTTP/1.1 200 "}


async def test_a_pass_goes_on_before_what_is_asked_meanwhile_is_answered(
    mock_clock: MockClock,
) -> None:
    async with crowd() as c:
        half, packets = COUNT // 2, iter(generate_stream(seconds=30)[400:])
        waiting, late = c.clients[:half], c.clients[half:]
        name = hint(c.channel)
        for client in waiting:
            client.send(asking(name, c.viewer))
        await wait_all_tasks_blocked()
        while hint(c.channel) == name:
            c.channel.packet(next(packets))
        for client in late:
            client.send(asking("media.m3u8", c.viewer))
        c.channel.pace.sends_per_slice = 1
        await c.channel.send_pass()
        assert {c.got(client)[:13] for client in waiting} == {b"HTTP/1.1 200 "}
        assert {c.got(client) for client in late} == {b""}
        await wait_all_tasks_blocked()
        assert {c.got(client)[:13] for client in late} == {b"HTTP/1.1 200 "}


async def test_who_leaves_ends_alone_and_who_sends_nonsense_reads_why(mock_clock: MockClock) -> None:
    async with crowd() as c:
        c.clients[0].close()
        c.clients[1].send(b"nonsense\r\n\r\n")
        await wait_all_tasks_blocked()
        assert c.got(c.clients[1]).startswith(b"HTTP/1.1 400 ")
        mock_clock.jump(1)  # in which it may read that
        await wait_all_tasks_blocked()
        assert c.ended == {c.sessions[0]: None, c.sessions[1]: None}
        assert c.sessions[1].rejections[RejectReason.MEDIA_REQUEST.value] == 1
        assert len(c.reader) == COUNT - 2


async def test_a_fault_of_ours_in_one_is_raised_by_its_own_task_and_the_others_are_served(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crowd() as c:
        broken = c.sessions[0]._reader

        def fail(_data: bytes) -> None:
            raise RuntimeError("a fault")

        monkeypatch.setattr(type(broken), "next_at_once", lambda self, data: fail(data) if self is broken else None)
        answers = await c.all_ask("media.m3u8")
        assert [answer[:13] for answer in answers] == [b""] + [b"HTTP/1.1 200 "] * (COUNT - 1)
        assert list(c.ended) == [c.sessions[0]]
        assert isinstance(c.ended[c.sessions[0]], BaseExceptionGroup)


async def test_who_asks_for_nothing_is_sent_away_in_time(mock_clock: MockClock) -> None:
    async with crowd() as c:
        for _ in range(int(IDLE_SECONDS)):
            assert c.ended == {}
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
        mock_clock.jump(10)
        await wait_all_tasks_blocked()
        assert set(c.ended) == set(c.sessions)
        assert len(c.reader) == 0
