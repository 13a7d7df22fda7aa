"""The events of the hub for any number of clients: one history, filled by one task, and who reads from it.

A client has a position in the history and no queue, so a slow one costs nothing and learns how much it has missed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import trio
from attrs import define, field

from mmids_trio.http_api.connection import SEND_TIMEOUT_SECONDS
from mmids_trio.http_api.event_history import MAX_EVENTS, EventHistory
from mmids_trio.workflow.hub import EventHub

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
        async with trio.open_nursery() as nursery:
            await nursery.start(self._record)
            task_status.started()
            await self._shutdown.wait()
            self._news.unpark_all()
            for scope in self._sending:
                scope.cancel()
            await trio.sleep_forever()

    async def _record(self, *, task_status: trio.TaskStatus[None]) -> None:
        missed = 0
        with self._hub.subscribe(MAX_EVENTS) as subscription:
            task_status.started()
            async for event in subscription:
                self.history.record(event, trio.current_time(), lost=subscription.missed - missed)
                missed = subscription.missed
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
