"""Events that are kept for somebody who is not here yet: bounded, and one stream cannot push out all others. Pure.

Each kind of event has room of its own, so that a thousand streams that come and go never cost a failure or a change of
a workflow.  Where the queue is long, a new event takes the place of the last one of its kind about the same stream, and
says for how many it stands.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from attrs import define, evolve, field, frozen

from mmids_trio.workflow.events import HubEvent

STREAM_FIELDS = ("workflow", "step_id", "name", "target", "reactor", "stream")
"""What tells streams (and their targets, and questions about them) apart."""


@frozen
class QueuedEvent:
    """One event; `at`: when it happened, on the clock that ages are measured with."""

    number: int
    at: float
    event: HubEvent
    count: int = 1
    """For how many it stands, itself included."""
    lost_before: int = 0
    """How many were lost between the one before it and this one."""


def stream_of(event: HubEvent) -> Hashable | None:
    """The kind of event, and which stream it is about; `None` where it is about none."""
    if not hasattr(event, "name") and not hasattr(event, "stream"):
        return None
    return type(event), *(getattr(event, name, None) for name in STREAM_FIELDS)


@define
class EventQueue:
    """Oldest first, numbered from 1. `room`: for events of each kind; `join_from`: the length that joins them."""

    room: int
    join_from: int
    newest: int = field(default=0, init=False)
    """Number of the newest event, 0 before the first."""
    lost: int = field(default=0, init=False)
    """Events that found no room, or were too old."""
    joined: int = field(default=0, init=False)
    """Events for which another one stands."""
    lost_at_end: int = field(default=0, init=False)
    """How many were lost behind the last one that is here."""
    _entries: list[QueuedEvent] = field(factory=list, init=False)
    _of_kind: dict[type[HubEvent], OrderedDict[int, None]] = field(factory=dict, init=False)
    _latest: dict[Hashable, int] = field(factory=dict, init=False)
    """By stream."""

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, event: HubEvent, now: float) -> None:
        """Take an event in, for one about the same stream or in the place of the oldest of its kind if need be."""
        count, stream = 1, stream_of(event)
        if stream in self._latest and len(self._entries) >= self.join_from:
            count += self._remove(self._index(self._latest[stream]), is_lost=False).count
            self.joined += 1
        same = self._of_kind.setdefault(type(event), OrderedDict())
        if len(same) >= self.room:
            self._remove(self._index(next(iter(same))), is_lost=True)
        self.newest += 1
        self._entries.append(QueuedEvent(self.newest, now, event, count, self.lost_at_end))
        self.lost_at_end = 0
        same[self.newest] = None
        if stream is not None:
            self._latest[stream] = self.newest

    def take(self) -> QueuedEvent | None:
        """The oldest, out of the queue."""
        return self._remove(0, is_lost=False) if self._entries else None

    def drop_until(self, oldest: float) -> None:
        """Lose what happened before that."""
        while self._entries and self._entries[0].at < oldest:
            self._remove(0, is_lost=True)

    def after(self, number: int, limit: int) -> tuple[int, Sequence[QueuedEvent]]:
        """Up to `limit` events behind `number`, and how many were lost among them."""
        start = bisect_right(self._entries, number, key=_number)
        entries = self._entries[start : start + limit]
        if not entries:
            return min(self.lost_at_end, self.newest - number), []
        lost = [entry.lost_before for entry in entries]
        return min(lost[0], entries[0].number - number - 1) + sum(lost[1:]), entries

    def _index(self, number: int) -> int:
        return bisect_left(self._entries, number, key=_number)

    def _remove(self, index: int, *, is_lost: bool) -> QueuedEvent:
        entry = self._entries.pop(index)
        del self._of_kind[type(entry.event)][entry.number]
        stream = stream_of(entry.event)
        if self._latest.get(stream) == entry.number:
            del self._latest[stream]
        lost = entry.lost_before + (entry.count if is_lost else 0)
        self.lost += lost - entry.lost_before
        if index < len(self._entries):
            follower = self._entries[index]
            self._entries[index] = evolve(follower, lost_before=follower.lost_before + lost)
        else:
            self.lost_at_end += lost
        return entry


def _number(entry: QueuedEvent) -> int:
    return entry.number
