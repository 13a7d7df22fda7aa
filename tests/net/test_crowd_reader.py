"""One task reads all who stay with it, in turns that end; whoever leaves is read no more, and none is left behind."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define
from trio.testing import wait_all_tasks_blocked

from mmids_trio.net.crowd_reader import SLICE, CrowdReader
from mmids_trio.net.transport import SocketTransport
from mmids_trio.testing.network import memory_connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no epoll")


@define(eq=False)
class Member:
    """Leaves once it has read `last`."""

    transport: SocketTransport
    far: socket.socket
    said: bytes = b""
    has_left: bool = False

    def read_nowait(self, now: float) -> bool:
        data = self.transport.receive_nowait(100)
        self.said += data
        return bool(data) and not data.endswith(b"!")

    async def live(self, crowd: CrowdReader) -> None:
        try:
            await crowd.stay(self)
        finally:
            self.has_left = True


@asynccontextmanager
async def crowd_of(count: int) -> AsyncIterator[tuple[CrowdReader, list[Member], trio.CancelScope]]:
    """A reader that runs until the scope is cancelled, and who stays there."""
    crowd = CrowdReader()
    pairs = [socket.socketpair() for _ in range(count)]
    members = [Member(SocketTransport(near), far) for near, far in pairs]
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await crowd.run()

        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        for member in members:
            nursery.start_soon(member.live, crowd)
        await wait_all_tasks_blocked()
        yield crowd, members, scope
        nursery.cancel_scope.cancel()
    for member in members:
        member.transport.close()
        member.far.close()


async def test_who_stays_is_read_whenever_something_comes_and_leaves_when_it_says_so() -> None:
    async with crowd_of(3) as (crowd, members, _):
        for member in members[1:]:
            member.far.send(b"a")
        await wait_all_tasks_blocked()
        assert [member.said for member in members] == [b"", b"a", b"a"]
        members[1].far.send(b"b!")
        await wait_all_tasks_blocked()
        assert members[1].has_left
        assert members[1].said == b"ab!"
        assert len(crowd) == 2
        members[1].far.send(b"c")  # for its own task now
        members[2].far.send(b"d")
        await wait_all_tasks_blocked()
        assert members[2].said == b"ad"
        assert members[1].said == b"ab!"


async def test_the_end_of_a_connection_is_for_its_own_task() -> None:
    async with crowd_of(2) as (crowd, members, _):
        members[0].far.close()
        await wait_all_tasks_blocked()
        assert members[0].has_left
        assert len(crowd) == 1
        assert await members[0].transport.receive_some(1) == b""


async def test_others_get_their_turn_between_slices() -> None:
    async with crowd_of(4 * SLICE) as (_, members, _scope):
        turns = 0
        for member in members:
            member.far.send(b"a")
        while not all(member.said for member in members):
            read = sum(bool(member.said) for member in members)
            await trio.lowlevel.checkpoint()
            assert (
                sum(bool(member.said) for member in members) - read <= 2 * SLICE
            )  # in one round last, in the next first
            turns += 1
        assert turns >= 2


async def test_all_go_on_by_themselves_when_the_reader_ends_and_nobody_stays_where_none_runs() -> None:
    async with crowd_of(2) as (crowd, members, scope):
        scope.cancel()
        await wait_all_tasks_blocked()
        assert all(member.has_left for member in members)
        assert len(crowd) == 0
        await crowd.stay(members[0])


async def test_what_is_no_plain_socket_is_not_read_here() -> None:
    async with crowd_of(0) as (crowd, _, _scope):

        class Other:
            transport = memory_connection()[0]

            def read_nowait(self, now: float) -> bool:
                raise AssertionError

        await crowd.stay(Other())
        assert len(crowd) == 0


def sockets_waited_for() -> int:
    """By all tasks of this run."""
    io: trio._core._io_epoll._EpollStatistics = trio.lowlevel.current_statistics().io_statistics
    return io.tasks_waiting_read


async def test_nobody_waits_for_a_socket_while_nobody_stays_so_that_a_deadlock_is_seen() -> None:
    async with crowd_of(0) as (crowd, _, _), trio.open_nursery() as nursery:
        before = sockets_waited_for()
        for _ in range(2):
            near, far = socket.socketpair()
            member = Member(SocketTransport(near), far)
            nursery.start_soon(member.live, crowd)
            await wait_all_tasks_blocked()
            assert sockets_waited_for() == before + 1
            far.send(b"!")
            await wait_all_tasks_blocked(0.05)
            assert member.has_left
            assert sockets_waited_for() == before
            far.close()
            near.close()
