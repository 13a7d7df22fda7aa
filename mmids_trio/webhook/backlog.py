"""The events that wait to be posted, bounded in number and age; those that are lost are counted. Pure."""

from attrs import define, field, frozen

from mmids_trio.workflow.event_queue import EventQueue, QueuedEvent
from mmids_trio.workflow.events import HubEvent

MAX_NOTICES = 1000
"""Events of each kind that wait: hours of an ordinary show, a minute of a server that restarts everything."""

JOINED_FROM = 100
"""Events that wait, from which on one stands for all of its kind about the same stream."""

MAX_AGE_SECONDS = 600.0
"""How long a service may be away before it misses something: longer than its restart or a failover takes."""


@frozen
class Notice:
    """One event to be posted. `time`: when it happened, as RFC 3339; `data`: its JSON."""

    id: str
    type: str
    time: str
    data: str
    happened_at: float
    """On the clock that ages are measured with."""
    count: int = 1
    """For how many events it stands."""


@define
class Backlog:
    """Oldest first. `dropped`: how many were lost since that was told."""

    dropped: int = 0
    _queue: EventQueue = field(factory=lambda: EventQueue(MAX_NOTICES, JOINED_FROM), init=False)

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def joined(self) -> int:
        """Events for which another one stands, ever."""
        return self._queue.joined

    def put(self, event: HubEvent, now: float) -> None:
        """Take an event in, in the place of the oldest of its kind where there is no room."""
        before = self._queue.lost
        self._queue.put(event, now)
        self.dropped += self._queue.lost - before

    def take(self, now: float) -> QueuedEvent | None:
        """The oldest that is not too old, out of the queue; `None` where there is none."""
        while (queued := self._queue.take()) is not None:
            if not is_too_old(queued.at, now):
                return queued
            self.dropped += queued.count
        return None


def is_too_old(happened_at: float, now: float) -> bool:
    """Whether what happened then is not worth another try."""
    return now - happened_at >= MAX_AGE_SECONDS
