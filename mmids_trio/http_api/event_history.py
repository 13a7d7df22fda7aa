"""What has happened lately, numbered, so that a client that lost its stream can go on where it was.

Bounded in number and age.  Pure: the time is given, and nobody is told; that is done in `event_feed`.
"""

import re
from collections import deque
from collections.abc import Sequence
from typing import Literal

from attrs import define, field, frozen

from mmids_trio.workflow.events import HubEvent

MAX_EVENTS = 10_000
"""Events kept, and that may pile up before they are taken: a thousand workflows that start with their streams."""

MAX_AGE_SECONDS = 900.0
"""How long an event is kept: a client that was away for longer looks at the whole state again."""

_ID = re.compile(r"(?P<boot>[0-9a-f]{1,32})-(?P<number>[0-9]{1,15})", re.ASCII)


@frozen
class Entry:
    """One event; `at` is when it happened, in seconds of the history's clock."""

    number: int
    at: float
    event: HubEvent


@frozen
class Start:
    """Where a stream begins: behind which number, and (`reset`) why it cannot go on where the client was."""

    number: int
    reset: Literal["restarted", "unknown"] | None = None


@define
class EventHistory:
    """The latest events of one run of the server, which is called `boot` (lower-case hexadecimal digits)."""

    boot: str
    newest: int = field(default=0, init=False)
    """Number of the newest event, 0 before the first."""
    _entries: deque[Entry] = field(factory=deque, init=False)

    def record(self, event: HubEvent, now: float, *, lost: int = 0) -> None:
        """Add an event; `lost` ones before it could not be kept, and count as too old."""
        if lost:
            self._entries.clear()
        self.newest += lost + 1
        self._entries.append(Entry(self.newest, now, event))
        self._trim(now)

    def after(self, number: int, limit: int, now: float) -> tuple[int, Sequence[Entry]]:
        """How many events behind `number` are gone, and up to `limit` of those that follow them."""
        self._trim(now)
        oldest = self._entries[0].number if self._entries else self.newest + 1
        skipped = max(0, number + 1 - oldest)
        entries = self._entries
        return max(0, oldest - 1 - number), [entries[i] for i in range(skipped, min(skipped + limit, len(entries)))]

    def id_of(self, number: int) -> str:
        """The id that a client sees."""
        return f"{self.boot}-{number}"

    def start(self, last_event_id: str | None) -> Start:
        """Where the stream of a client begins that has seen this id last; without one, with what happens next."""
        if not last_event_id:
            return Start(self.newest)
        known = _ID.fullmatch(last_event_id)
        if known is None:
            return Start(self.newest, "unknown")
        if known["boot"] != self.boot:
            return Start(self.newest, "restarted")
        number = int(known["number"])
        return Start(number) if number <= self.newest else Start(self.newest, "unknown")

    def _trim(self, now: float) -> None:
        entries = self._entries
        while entries and (len(entries) > MAX_EVENTS or now - entries[0].at > MAX_AGE_SECONDS):
            entries.popleft()
