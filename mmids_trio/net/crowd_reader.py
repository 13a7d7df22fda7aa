"""One task that reads many connections, of which each says little at a time.

A wait of trio's costs a try to read, a system call to be woken, a cancel scope and a step of a task: some 90 calls of
Python, three times what a request for a part of HLS takes.  Here an epoll of our own knows each connection for as long
as it stays, trio waits for that epoll alone, and whoever can be read is read at once, `SLICE` of them in a turn.  The
connection's own task sleeps meanwhile; it does whatever takes longer, and ends the connection.

Where there is no epoll, and for connections that hold back more than their socket does (TLS) or have none (tests),
`stay` returns at once: they are read by their own tasks.
"""

import select
import sys
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.net.transport import SocketTransport, Transport

SLICE = 64
"""Connections that are read before others get their turn: about two milliseconds of requests."""


class OneOfMany(Protocol):
    """Who is read here."""

    @property
    def transport(self) -> Transport:
        """Its connection."""

    def read_nowait(self, now: float) -> bool:
        """Read once, and act on it; whether it goes on here, and not in its own task. Never raises.

        `now`: trio's time at the begin of the turn.
        """


@define(eq=False)
class CrowdReader:
    """See the module; `run` must run where connections are to stay."""

    _epoll: "select.epoll | None" = field(default=None, init=False)
    _members: dict[int, tuple[OneOfMany, trio.lowlevel.ParkingLot]] = field(factory=dict, init=False)
    """By descriptor."""
    _nobody: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    """Where it waits while there is nobody to read: who waits for a socket is waited for by what finds deadlocks."""
    _makes_way: bool = field(default=False, init=False)
    _reading: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    def __len__(self) -> int:
        return len(self._members)

    async def stay(self, member: OneOfMany) -> None:
        """Have `member` be read here until it has to do something by itself; returns at once where that is now.

        No checkpoint then. The connection must not be closed before this returns.
        """
        transport, epoll = member.transport, self._epoll
        if epoll is None or not isinstance(transport, SocketTransport):
            return
        descriptor, lot = transport.fileno(), trio.lowlevel.ParkingLot()
        epoll.register(descriptor, select.EPOLLIN)
        self._members[descriptor] = member, lot
        self._nobody.unpark()
        try:
            await lot.park()
        finally:
            if self._members.pop(descriptor, None) is not None and not epoll.closed:
                epoll.unregister(descriptor)
            if not self._members:
                self._reading.cancel()

    def make_way(self) -> None:
        """Read nobody in the next turn, for who sends to many in turns and has more to send.

        Who got its answer asks for the next at once.  To read that first takes from those who wait for the same answer.
        Whoever calls this has sent to some who were read before, so reading cannot be put off for ever.
        """
        self._makes_way = True

    async def run(self) -> None:
        """Read those who stay, until cancelled."""
        if sys.platform != "linux":
            await trio.sleep_forever()
        with select.epoll() as epoll:
            self._epoll = epoll
            try:
                while True:
                    while not self._members:
                        await self._nobody.park()
                    with trio.CancelScope() as self._reading:
                        await self._read_while_somebody_is_there(epoll)
            finally:
                self._epoll = None
                for _, lot in self._members.values():
                    lot.unpark_all()

    async def _read_while_somebody_is_there(self, epoll: "select.epoll") -> None:
        while self._members:
            await trio.lowlevel.wait_readable(epoll.fileno())
            if self._makes_way:
                self._makes_way = False
                await trio.lowlevel.checkpoint()
                continue
            now = trio.current_time()
            for descriptor, _ in epoll.poll(0, SLICE):
                member, lot = self._members[descriptor]
                if not member.read_nowait(now):
                    del self._members[descriptor]  # at once: what is not read comes again and again
                    epoll.unregister(descriptor)
                    lot.unpark()
