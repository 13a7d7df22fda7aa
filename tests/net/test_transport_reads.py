"""Reads of the socket transport that do not wait, and what is kept by one that does."""

import gc
import socket

import pytest
import trio
import trio.testing

from mmids_trio.net.transport import SocketTransport

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
