"""The events that wait to be posted, bounded in number and age; those that are lost are counted. Pure."""

from collections import deque

from attrs import define, field, frozen

MAX_NOTICES = 1000
"""Events that wait: hours of an ordinary show, a minute of a server that restarts everything."""

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


@define
class Backlog:
    """Oldest first. `dropped`: how many were lost since that was told."""

    dropped: int = 0
    _notices: deque[Notice] = field(factory=deque, init=False)

    def __len__(self) -> int:
        return len(self._notices)

    def put(self, notice: Notice) -> None:
        """Take a notice in, in the place of the oldest where there is no room."""
        if len(self._notices) >= MAX_NOTICES:
            self._notices.popleft()
            self.dropped += 1
        self._notices.append(notice)

    def take(self, now: float) -> Notice | None:
        """The oldest that is not too old, out of the queue; `None` where there is none."""
        while self._notices:
            notice = self._notices.popleft()
            if not is_too_old(notice, now):
                return notice
            self.dropped += 1
        return None


def is_too_old(notice: Notice, now: float) -> bool:
    """Whether it is not worth another try."""
    return now - notice.happened_at >= MAX_AGE_SECONDS
