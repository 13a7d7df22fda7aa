"""When publishers are read: each as soon as it has sent something, or, where many publish, all of them in turns.

A read costs more than the packet that it brings (the wait for it, the wake-up, the hop to the next step), and it brings
as many as are there.  So where more than `FEW` publish they rest between two reads, the longer the more there are, and
longer where nobody watches: packets of 50 wait for 5 ms at most where somebody does, and for 40 ms else.  The one task
that ends a rest also reads, for all whose packets can go on at once; a client's own task is woken for the rest of what
may come.  See `docs/performance.md#publishers-that-are-read-in-turns`.
"""

from math import inf
from typing import Protocol

import trio
from attrs import define, field

FEW = 8
"""Publishers that never rest."""

READS_PER_SECOND = 1_250
"""Of all publishers together; more where `LONGEST_REST` does not allow them to rest for so long."""

LONGEST_REST = 0.040
"""Seconds; a frame, at 25 a second."""

WATCHED_READS_PER_SECOND = 10_000
"""The same of those that are watched. So 50 of them rest for 5 ms: their frames are with the watchers within 10, what
the turn takes itself included."""

SHORTEST_REST = 0.004
"""Seconds, of those."""

LEAST_PAUSE = 0.002
"""Seconds from the end of one turn to the next, so that turns bring the more the longer they take."""

SLICE = 8
"""Publishers that are read before the scheduler gets a turn. What they bring has room in the inbox of a step
(`workflow.links.INBOX_BATCHES`), also where those before them are not taken yet, so that none has to wait there."""

SAME_TURN = 0.001
"""Seconds by which one may be read too early, rather than in a turn of its own."""


class Resting(Protocol):
    """Who is read in turns."""

    def is_watched(self, now: float) -> bool:
        """Whether somebody waits for what it sends."""

    def is_worth_reading(self, now: float) -> bool:
        """Whether there may be more than a little sound. Synchronous, and never raises, as the next."""

    def read_nowait(self, now: float) -> bool:
        """Read, and act on it; whether it goes on resting, and not in its own task."""


@define(eq=False)
class _Place:
    """Where a client rests."""

    due: float = -inf
    """Its next read: in the next turn, for who has just come."""
    is_watched: bool = False
    lot: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)


@define(eq=False)
class ReadCoalescer:
    """Of all publishers of a server. `is_merging`: whether they may rest at all."""

    is_merging: bool = True
    _publishers: set[object] = field(factory=set, init=False)
    _resting: dict[Resting, _Place] = field(factory=dict, init=False)
    _watched: int = field(default=0, init=False)
    """How many were, when they were read last."""
    _idle: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def note(self, client: object, *, publishes: bool) -> None:
        """`client` publishes, or does not (any more)."""
        if publishes:
            self._publishers.add(client)
        else:
            self._publishers.discard(client)
        if self.interval:
            self._idle.unpark_all()

    @property
    def interval(self) -> float:
        """Seconds from one turn of everybody to the next; 0 where each is read at once."""
        count = len(self._publishers)
        return min(count / READS_PER_SECOND, LONGEST_REST) if self.is_merging and count > FEW else 0.0

    @property
    def watched_interval(self) -> float:
        """The same for those who are watched, of whom there may be few."""
        return min(max(self._watched / WATCHED_READS_PER_SECOND, SHORTEST_REST), self.interval)

    async def rest(self, client: Resting) -> bool:
        """Wait until `client` has to do something by itself; whether it had to wait, which is a checkpoint."""
        if not self.interval:
            return False
        place = self._resting[client] = _Place()
        try:
            await place.lot.park()
        finally:
            self._resting.pop(client, None)
        return True

    async def run(self) -> None:
        """Read those who rest, and wake those who have to do more, until cancelled; idle where nobody rests."""
        due = trio.current_time() + self.interval
        while True:
            if interval := self.interval:
                await trio.sleep_until(min(due, trio.current_time() + interval))
                due = await self._turn()
            else:
                for client in list(self._resting):
                    self._wake(client)  # without a checkpoint before `park`, in which somebody could come to rest
                await self._idle.park()
                due = trio.current_time() + self.interval

    async def _turn(self) -> float:
        """Read all whose turn it is, not those who will have come back meanwhile; when the next one is due."""
        now = trio.current_time()
        long, short = now + self.interval, now + self.watched_interval
        next_due, read, watched = long, 0, 0
        for client, place in list(self._resting.items()):
            if place.due <= now + SAME_TURN:
                if place.is_watched and not client.is_worth_reading(now):
                    place.due = short
                else:
                    if read and read % SLICE == 0:
                        await trio.lowlevel.checkpoint()
                    read += 1
                    if self._resting.get(client) is not place:
                        continue  # it has gone meanwhile
                    if not client.read_nowait(now):
                        self._wake(client)
                        continue
                    place.is_watched = client.is_watched(now)
                    place.due = short if place.is_watched else long
            watched += place.is_watched
            if place.due < next_due:  # noqa: PLR1730 (`min` is a call for each who rests)
                next_due = place.due
        self._watched = watched
        return max(next_due, trio.current_time() + LEAST_PAUSE)

    def _wake(self, client: Resting) -> None:
        self._resting.pop(client).lot.unpark()
