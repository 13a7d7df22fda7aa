"""Links that are slow, thin, or break: what lies between the two ends of a connection of a `MemoryNetwork`.

Like the fake children they have no tasks: what has arrived by now is worked out when somebody looks or waits, so
nothing of them can be left behind, and the same test has the same bytes arrive at the same time each time.
"""

from collections import deque
from math import inf

import trio
from attrs import define, field, frozen

SEGMENT_BYTES = 1448
"""What arrives at once in a direction with a bandwidth: the payload of a TCP segment on Ethernet."""


@frozen(kw_only=True)
class Direction:
    """One direction of a link."""

    latency: float = 0.0
    """Seconds from sending to arriving."""
    bandwidth: float = inf
    """Bytes per second. What is sent faster waits in the buffer of the connection, until that is full."""
    cut_after: float = inf
    """Bytes: the connection is reset when so many have arrived; what follows them is lost."""
    vanish_after: float = inf
    """Bytes: from the next one on, nothing arrives in either direction, and nobody is told."""


@frozen(kw_only=True)
class Link:
    """How the bytes of one connection travel: `up` to the server, `down` to the client. Times since its beginning."""

    up: Direction = field(factory=Direction)
    down: Direction = field(factory=Direction)
    cut_at: float = inf
    """Seconds: when it is reset. What has arrived may still be read; then, and when they write, both ends are told."""
    vanish_at: float = inf
    """Seconds: when it becomes half-open. Nothing that is sent from then on arrives, no end and no reset either."""

    @classmethod
    def both_ways(cls, *, latency: float = 0.0, bandwidth: float = inf) -> "Link":
        """The same in both directions."""
        direction = Direction(latency=latency, bandwidth=bandwidth)
        return cls(up=direction, down=direction)


PERFECT = Link()
"""No loss, no delay."""


@define(eq=False)
class LinkState:
    """What the two directions of one connection have in common: when it is cut, and when it vanishes."""

    link: Link
    lots: list[trio.lowlevel.ParkingLot] = field(factory=list, init=False)
    """Where those wait who want to know."""
    _cut_at: float = field(default=inf, init=False)
    _vanish_at: float = field(default=inf, init=False)

    def __attrs_post_init__(self) -> None:
        if self.link != PERFECT:  # which may be made where no clock runs
            self._cut_at = trio.current_time() + self.link.cut_at
            self._vanish_at = trio.current_time() + self.link.vanish_at

    @property
    def cut_at(self) -> float:
        """On trio's clock, `inf` for never."""
        return self._cut_at

    @property
    def is_cut(self) -> bool:
        """Whether it has been reset."""
        return _has_come(self._cut_at)

    @property
    def has_vanished(self) -> bool:
        """Whether what is sent now goes nowhere."""
        return _has_come(self._vanish_at)

    def cut(self, at: float = -inf) -> None:
        """Reset it then, or now."""
        self._cut_at = min(self._cut_at, at)
        self.wake()

    def vanish(self) -> None:
        """Have it go half-open now."""
        self._vanish_at = -inf

    def wake(self) -> None:
        """Something has changed."""
        for lot in self.lots:
            lot.unpark_all()


class Pipe:
    """One direction of one connection, with the bounded buffer that its bytes are in until they are read."""

    def __init__(self, capacity: int, link_state: LinkState, direction: Direction) -> None:
        self.receiver_closed = False
        self.changed = trio.lowlevel.ParkingLot()
        link_state.lots.append(self.changed)
        self._capacity, self._link_state, self._direction = capacity, link_state, direction
        self._data = bytearray()
        self._arrived = 0
        """Bytes at the beginning of `_data` that can be read."""
        self._under_way: deque[tuple[float, int]] = deque()
        """What follows them: when it arrives, and how many bytes."""
        self._sent = 0
        self._free_at = -inf
        self._ends_at = inf
        """When the receiver sees the end; the sender closes once."""

    @property
    def room(self) -> int:
        """Bytes that may be put in."""
        return self._capacity - len(self._data)

    @property
    def unread(self) -> int:
        """Bytes in it."""
        return len(self._data)

    @property
    def moved(self) -> int:
        """Bytes put in and taken out so far, together; it only grows."""
        return 2 * self._sent - len(self._data)

    @property
    def has_ended(self) -> bool:
        """Whether the receiver has read all that there will be."""
        return _has_come(self._ends_at) and not self.arrived

    @property
    def arrived(self) -> int:
        """Bytes that can be read now."""
        while self._under_way and _has_come(self._under_way[0][0]) and self._under_way[0][0] <= self._link_state.cut_at:
            self._arrived += self._under_way.popleft()[1]
        return self._arrived

    @property
    def next_change(self) -> float:
        """When the next thing happens by itself, for who waits to receive; on trio's clock."""
        return min(self._under_way[0][0] if self._under_way else inf, self._ends_at, self._link_state.cut_at)

    def put(self, data: bytes | memoryview) -> int:
        """Send what there is room for; how many bytes that was."""
        taken = min(self.room, len(data))
        before, self._sent = self._sent, self._sent + taken
        if self._sent > self._direction.cut_after:  # what is behind the cut is sent, and lost
            kept = max(0, int(self._direction.cut_after) - before)
            self._carry(data[:kept])
            self._link_state.cut(self._last_arrival())
        elif self._sent > self._direction.vanish_after:
            kept = max(0, int(self._direction.vanish_after) - before)
            self._carry(data[:kept])
            self._link_state.vanish()
            self._carry(data[kept:taken])
        else:
            self._carry(data[:taken])
        return taken

    def _carry(self, data: bytes | memoryview) -> None:
        self._data += data
        if self._link_state.has_vanished:
            self._under_way.append((inf, len(data)))
        elif self._direction.latency or self._direction.bandwidth < inf:
            self._delay(len(data))
        elif data:
            self._arrived += len(data)
            self.changed.unpark_all()

    def _delay(self, count: int) -> None:
        pieces = SEGMENT_BYTES if self._direction.bandwidth < inf else max(count, 1)
        for start in range(0, count, pieces):
            size = min(pieces, count - start)
            self._free_at = max(self._free_at, trio.current_time()) + size / self._direction.bandwidth
            self._under_way.append((self._free_at + self._direction.latency, size))
        self.changed.unpark_all()  # who waits has to wait for another time

    def _last_arrival(self) -> float:
        return self._under_way[-1][0] if self._under_way else -inf

    def take(self, most: int) -> bytes:
        """What has arrived, `b""` where that is nothing."""
        count = min(most, self.arrived)
        taken = bytes(self._data[:count])
        del self._data[:count]
        self._arrived -= count
        self.changed.unpark_all()
        return taken

    def clear(self) -> None:
        """Lose all that is in it."""
        self._data.clear()
        self._under_way.clear()
        self._arrived = 0
        self.changed.unpark_all()

    def end(self) -> None:
        """The sender closes: the receiver gets what was sent before, then the end."""
        if self._link_state.has_vanished:
            return
        arrives = trio.current_time() + self._direction.latency if self._direction.latency else -inf
        self._ends_at = min(self._ends_at, max(arrives, self._last_arrival()))
        self.changed.unpark_all()


def _has_come(time: float) -> bool:
    return time == -inf or (time < inf and trio.current_time() >= time)
