"""The events of the hub for any number of clients: one history, filled by one task, and who reads from it.

The history has what has happened lately, numbered, so that a client that lost its stream can go on where it was.  It is
bounded in number and age, and pure: the time is given, and it tells nobody.  A client has a position in the history and
no queue, so a slow one costs nothing and learns how much it has missed.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Literal

import trio
from attrs import define, field, frozen

from mmids_trio.http_api.counts import SEND_TIMEOUT_SECONDS
from mmids_trio.workflow.event_queue import EventQueue, QueuedEvent
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.hub import EventHub

MAX_EVENTS = 10_000
"""Events of each kind that are kept: a thousand workflows that start with their streams."""

JOINED_FROM = 1_000
"""Events that are kept, from which on one stands for all of its kind about the same stream."""

MAX_AGE_SECONDS = 900.0
"""How long an event is kept: a client that was away for longer looks at the whole state again."""

_ID = re.compile(r"(?P<boot>[0-9a-f]{1,32})-(?P<number>[0-9]{1,15})", re.ASCII)


@frozen
class HistoryStart:
    """Where a stream begins: behind which number, and (`reset`) why it cannot go on where the client was."""

    number: int
    reset: Literal["restarted", "unknown"] | None = None


@define
class EventHistory:
    """The latest events of one run of the server, which is called `boot` (lower-case hexadecimal digits)."""

    boot: str
    queue: EventQueue = field(factory=lambda: EventQueue(MAX_EVENTS, JOINED_FROM), init=False)

    @property
    def newest(self) -> int:
        """Number of the newest event, 0 before the first."""
        return self.queue.newest

    def record(self, event: HubEvent, now: float) -> None:
        """Add an event."""
        self.queue.drop_until(now - MAX_AGE_SECONDS)
        self.queue.put(event, now)

    def after(self, number: int, limit: int, now: float) -> tuple[int, Sequence[QueuedEvent]]:
        """How many events behind `number` are lost, and up to `limit` of those that follow them."""
        self.queue.drop_until(now - MAX_AGE_SECONDS)
        return self.queue.after(number, limit)

    def id_of(self, number: int) -> str:
        """The id that a client sees."""
        return f"{self.boot}-{number}"

    def start(self, last_event_id: str | None) -> HistoryStart:
        """Where the stream of a client begins that has seen this id last; without one, with what happens next."""
        if not last_event_id:
            return HistoryStart(self.newest)
        known = _ID.fullmatch(last_event_id)
        if known is None:
            return HistoryStart(self.newest, "unknown")
        if known["boot"] != self.boot:
            return HistoryStart(self.newest, "restarted")
        number = int(known["number"])
        return HistoryStart(number) if number <= self.newest else HistoryStart(self.newest, "unknown")


MAX_STREAMS = 100
"""Open streams: dashboards and jobs of a whole team, and far below the connections that the API takes."""

LAST_WORDS_SECONDS = 0.5
"""How long the end of a stream may take when the server stops: it fits into the buffers of whoever reads."""

BOOT_ID_BYTES = 6
"""Enough that two runs of a server have different ids."""


@define(eq=False)
class EventFeed:
    """What happens on `hub`, until `shutdown`, which ends all streams at once."""

    _hub: EventHub
    _shutdown: trio.Event
    history: EventHistory = field(factory=lambda: EventHistory(token_hex(BOOT_ID_BYTES)), init=False)
    streams: int = field(default=0, init=False)
    """How many clients read."""
    _news: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _sending: set[trio.CancelScope] = field(factory=set, init=False)

    @property
    def is_over(self) -> bool:
        """Whether the server is being stopped."""
        return self._shutdown.is_set()

    @property
    def is_full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return self.streams >= MAX_STREAMS

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fill the history until cancelled."""
        with self._hub.listening(self._record):
            task_status.started()
            await self._shutdown.wait()
            self._news.unpark_all()
            for scope in self._sending:
                scope.cancel()
            await trio.sleep_forever()

    def _record(self, event: HubEvent) -> None:
        self.history.record(event, trio.current_time())
        self._news.unpark_all()

    async def news(self, seconds: float) -> bool:
        """Wait for an event or the end, so long at most; false when nothing came."""
        with trio.move_on_after(seconds):
            await self._news.park()
            return True
        return False

    @contextmanager
    def sending(self) -> Iterator[trio.CancelScope]:
        """The time in which a client has to take what is sent to it: bounded, and cut when the server stops."""
        with trio.move_on_after(LAST_WORDS_SECONDS if self.is_over else SEND_TIMEOUT_SECONDS) as scope:
            self._sending.add(scope)
            try:
                yield scope
            finally:
                self._sending.discard(scope)
