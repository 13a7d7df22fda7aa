"""When publishers are read: each as soon as it has sent something, or, where many publish, all of them in turns.

A read costs more than the packet that it brings (the wait for it, the wake-up, the hop to the next step), and it brings
as many as are there.  So where more than `FEW` publish they rest between two reads, the longer the more there are:
packets of 16 publishers wait for 13 ms at most, those of 50 or more for 40 ms.  That makes one of 50 cost less
than half (`docs/performance.md#publishers-that-are-read-in-turns`).
"""

import trio
from attrs import define, field

FEW = 8
"""Publishers that never rest."""

READS_PER_SECOND = 1_250
"""Of all publishers together; more where `LONGEST_REST` does not allow them to rest for so long."""

LONGEST_REST = 0.040
"""Seconds; a frame, at 25 a second."""

SLICE = 8
"""Publishers that are woken before the scheduler gets a turn. What they bring has room in the inbox of a step
(`workflow.links.INBOX_BATCHES`), also where those before them are not taken yet, so that none has to wait there."""


@define(eq=False)
class ReadCoalescer:
    """Of all publishers of a server. `is_merging`: whether they may rest at all."""

    is_merging: bool = True
    _publishers: set[object] = field(factory=set, init=False)
    _resting: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
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

    async def rest(self) -> bool:
        """Wait until it is time for a publisher to be read again; whether it had to, which is a checkpoint."""
        if not self.interval:
            return False
        await self._resting.park()
        return True

    async def run(self) -> None:
        """Wake those who rest, until cancelled. Takes no time where nobody has to."""
        while True:
            if interval := self.interval:
                await trio.sleep(interval)
                await self._wake()
            else:
                self._resting.unpark_all()  # without a checkpoint before `park`, in which somebody could come to rest
                await self._idle.park()

    async def _wake(self) -> None:
        """Those who rest now, not those who will have come back meanwhile."""
        left = len(self._resting)
        while left > 0:
            self._resting.unpark(count=min(SLICE, left))
            left -= SLICE
            if left > 0:
                await trio.lowlevel.checkpoint()
