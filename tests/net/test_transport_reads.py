"""Reads of the socket transport that do not wait, and what is kept by one that does."""

import gc
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from mmids_trio.net.transport import SocketNetwork, SocketTransport

TIMEOUT = 10  # seconds after which a test that hangs fails


def a_pair() -> tuple[SocketTransport, socket.socket]:
    ours, theirs = socket.socketpair()
    return SocketTransport(ours), theirs


async def test_what_has_arrived_is_had_without_waiting() -> None:
    transport, peer = a_pair()
    assert transport.receive_nowait(100) == b""
    peer.send(b"arrived")
    assert [transport.receive_nowait(4), transport.receive_nowait(100)] == [b"arri", b"ved"]
    peer.close()
    assert transport.receive_nowait(100) == b""
    with trio.fail_after(TIMEOUT):
        assert await transport.receive_some(100) == b""
    transport.close()
    with pytest.raises(trio.ClosedResourceError):
        transport.receive_nowait(100)


def kept_exceptions() -> int:
    """Of the kind that says that nothing has arrived; each has a traceback, and frames with it."""
    return sum(isinstance(held, BlockingIOError) for held in gc.get_objects())


async def test_a_read_that_waits_keeps_no_exception() -> None:
    transport, peer = a_pair()
    before = kept_exceptions()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.receive_some, 100)
        await trio.testing.wait_all_tasks_blocked()
        assert kept_exceptions() == before
        peer.send(b"late")
    transport.close()
    peer.close()


FEW, ENOUGH, SECONDS = 300, 1000, 5.0


@asynccontextmanager
async def tcp_pair() -> AsyncIterator[tuple[SocketTransport, SocketTransport]]:
    """The system counts what has arrived for connections of TCP alone."""
    network = SocketNetwork()
    listener = network.listen("127.0.0.1", 0)
    theirs = await network.dial("127.0.0.1", listener.port)
    ours = await listener.accept()
    listener.close()
    try:
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()


async def arrival(transport: SocketTransport, size: int) -> None:
    with trio.fail_after(TIMEOUT):
        while not transport.has_arrived(size):
            await trio.lowlevel.checkpoint()
    await trio.testing.wait_all_tasks_blocked()


class Read:
    """One that waits for `ENOUGH`, beside the test."""

    def __init__(self, nursery: trio.Nursery, transport: SocketTransport) -> None:
        self.data: bytes | None = None
        self.error: Exception | None = None
        self._transport = transport
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            self.data = await self._transport.receive_together(10_000, ENOUGH, SECONDS)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.error = error

    async def end(self) -> None:
        """It ends, without any time that passes."""
        while self.data is None and self.error is None:
            await trio.lowlevel.checkpoint()


async def test_a_little_wakes_nobody_who_waits_for_more(mock_clock: trio.testing.MockClock) -> None:
    async with tcp_pair() as (ours, theirs), trio.open_nursery() as nursery:
        read = Read(nursery, ours)
        theirs.send_nowait(bytes(FEW))
        await arrival(ours, FEW)
        mock_clock.jump(SECONDS - 0.001)
        await trio.testing.wait_all_tasks_blocked()
        assert read.data is None
        theirs.send_nowait(bytes(ENOUGH - FEW))
        await read.end()
        assert read.data == bytes(ENOUGH)


async def test_a_little_is_had_when_its_time_is_over(mock_clock: trio.testing.MockClock) -> None:
    async with tcp_pair() as (ours, theirs), trio.open_nursery() as nursery:
        read = Read(nursery, ours)
        theirs.send_nowait(bytes(FEW))
        await arrival(ours, FEW)
        mock_clock.jump(SECONDS)
        await read.end()
        assert read.data == bytes(FEW)
        nothing = Read(nursery, ours)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(SECONDS)
        await nothing.end()
        assert nothing.data == b""


async def test_who_waits_for_anything_is_woken_by_a_byte_afterwards(mock_clock: trio.testing.MockClock) -> None:
    async with tcp_pair() as (ours, theirs):
        theirs.send_nowait(bytes(ENOUGH))
        assert await ours.receive_together(10_000, ENOUGH, SECONDS) == bytes(ENOUGH)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.receive_some, 10)
            await trio.testing.wait_all_tasks_blocked()
            theirs.send_nowait(b"!")


def close(peer: SocketTransport) -> None:
    peer.close()


def reset(peer: SocketTransport) -> None:
    linger_for_no_time = struct.pack("ii", 1, 0)
    peer._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
    peer.close()


async def ended(receive: Callable[[], Awaitable[bytes]]) -> bool:
    """Whether a read of a connection that has ended says so; else it says that it broke."""
    try:
        return not await receive()
    except trio.BrokenResourceError:
        return False


@pytest.mark.parametrize("end", [close, reset])
async def test_an_end_is_not_waited_for(
    end: Callable[[SocketTransport], None], mock_clock: trio.testing.MockClock
) -> None:
    async with tcp_pair() as (ours, theirs):
        async with trio.open_nursery() as nursery:
            read = Read(nursery, ours)
            theirs.send_nowait(bytes(FEW))
            await arrival(ours, FEW)
            end(theirs)
            await read.end()
        assert read.data == bytes(FEW)
        assert await ended(lambda: ours.receive_together(10_000, ENOUGH, SECONDS)) == (end is close)


async def test_a_read_that_is_cancelled_loses_nothing(mock_clock: trio.testing.MockClock) -> None:
    async with tcp_pair() as (ours, theirs):
        async with trio.open_nursery() as nursery:
            Read(nursery, ours)
            theirs.send_nowait(bytes(FEW))
            await arrival(ours, FEW)
            nursery.cancel_scope.cancel()
        assert await ours.receive_some(10_000) == bytes(FEW)


async def test_who_waits_for_more_hears_of_a_close_of_our_own(mock_clock: trio.testing.MockClock) -> None:
    async with tcp_pair() as (ours, _theirs):
        async with trio.open_nursery() as nursery:
            read = Read(nursery, ours)
            await trio.testing.wait_all_tasks_blocked()
            ours.close()
            await read.end()
        assert isinstance(read.error, trio.ClosedResourceError)
        assert await ours.receive_together(10_000, ENOUGH, SECONDS) == b""
