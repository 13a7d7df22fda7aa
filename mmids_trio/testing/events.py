"""The log of a server's events, as its hub publishes them: for tests that say what has to happen, and in which order.

It has no task.  The hub's queue is emptied into the log whenever somebody looks, or waits.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, overload

from attrs import define, field

from mmids_trio.workflow.events import HubEvent, StreamWentLive, StreamWentOff
from mmids_trio.workflow.hub import EventHub, Subscription

E = TypeVar("E")

MOST_EVENTS = 100_000
"""Events of one test; a simulated day of a hundred publishers that come and go each hour makes some 10,000."""


@define(eq=False)
class EventLog:
    """All events of `hub` from `listen` on. More than `most` are an error, so that no test runs on without its log."""

    hub: EventHub
    most: int = MOST_EVENTS
    _events: list[HubEvent] = field(factory=list, init=False)
    _subscription: Subscription | None = field(default=None, init=False)
    _streams: dict[tuple[str, str], str] = field(factory=dict, init=False)

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Log as long as the block runs; the log can be read on after it."""
        with self.hub.subscribe(self.most) as self._subscription:
            yield

    def __call__(self) -> tuple[HubEvent, ...]:
        """Every event so far, oldest first. Raises `AssertionError` where there were too many to keep."""
        if self._subscription is not None:
            for event in self._subscription.take():
                self._events.append(event)
                self._note(event)
            missed = self._subscription.missed + max(0, len(self._events) - self.most)
            assert not missed, f"{missed} events more than the {self.most} that are kept"
        return tuple(self._events)

    def _note(self, event: HubEvent) -> None:
        match event:
            case StreamWentLive():
                self._streams[event.workflow, event.stream_id] = event.name
            case StreamWentOff():
                self._streams.pop((event.workflow, event.stream_id), None)

    def forget(self) -> None:
        """Begin anew, with an empty log: for tests so long that all their events are too many to keep."""
        self()
        self._events.clear()

    @property
    def open_streams(self) -> Mapping[tuple[str, str], str]:
        """Streams that have begun and are not over: workflow and stream id to name. Forgotten events count."""
        self()
        return self._streams

    @overload
    async def wait(self, wanted: type[E], *, since: int = 0) -> E: ...
    @overload
    async def wait(self, wanted: Callable[[HubEvent], bool], *, since: int = 0) -> object: ...
    async def wait(self, wanted: type[object] | Callable[[HubEvent], bool], *, since: int = 0) -> object:
        """The first event that is a `wanted` one, or that `wanted` is true of; waits where there is none yet.

        `since` is the number of events that do not count: `len(log())` for only what comes from now on.
        """
        assert self._subscription is not None, "nobody has listened yet"
        while True:
            events = self()
            for event in events[since:]:
                if isinstance(event, wanted) if isinstance(wanted, type) else wanted(event):
                    return event
            since = max(since, len(events))
            await self._subscription.arrival()
