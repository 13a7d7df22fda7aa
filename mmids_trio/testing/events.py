"""The log of a server's events, as its hub publishes them: for tests that say what has to happen, and in which order.

It has no task: it listens to the hub, and notes of each event at which time of trio's clock it came.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, overload

import trio
from attrs import define, field

from mmids_trio.workflow.events import HubEvent, StreamWentLive, StreamWentOff
from mmids_trio.workflow.hub import EventHub

E = TypeVar("E")

MOST_EVENTS = 100_000
"""Events of one test; a simulated day of a hundred publishers that come and go each hour makes some 10,000."""


@define(eq=False)
class EventLog:
    """All events of `hub` from `listen` on. More than `most` are an error, so that no test runs on without its log."""

    hub: EventHub
    most: int = MOST_EVENTS
    _events: list[HubEvent] = field(factory=list, init=False)
    _times: list[float] = field(factory=list, init=False)
    _missed: int = field(default=0, init=False)
    _is_listening: bool = field(default=False, init=False)
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _streams: dict[tuple[str, str], str] = field(factory=dict, init=False)

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Log as long as the block runs; the log can be read on after it."""
        with self.hub.listening(self._take):
            self._is_listening = True
            try:
                yield
            finally:
                self._is_listening = False

    def _take(self, event: HubEvent) -> None:
        self._note(event)
        if len(self._events) < self.most:
            self._events.append(event)
            self._times.append(trio.current_time())
        else:
            self._missed += 1
        self._arrival.unpark_all()

    def __call__(self) -> tuple[HubEvent, ...]:
        """Every event so far, oldest first. Raises `AssertionError` where there were too many to keep."""
        assert not self._missed, f"{self._missed} events more than the {self.most} that are kept"
        return tuple(self._events)

    @property
    def times(self) -> tuple[float, ...]:
        """When each of them came, in seconds of trio's clock."""
        return tuple(self._times)

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
        self._times.clear()

    @property
    def open_streams(self) -> Mapping[tuple[str, str], str]:
        """Streams that have begun and are not over: workflow and stream id to name. Forgotten events count."""
        return self._streams

    @overload
    async def wait(self, wanted: type[E], *, since: int | None = None) -> E: ...
    @overload
    async def wait(self, wanted: Callable[[HubEvent], bool], *, since: int | None = None) -> object: ...
    async def wait(self, wanted: type[object] | Callable[[HubEvent], bool], *, since: int | None = None) -> object:
        """The next event that is a `wanted` one, or that `wanted` is true of.

        `since` is the number of events that do not count: 0 for the first one ever, also one that was there before.
        """
        assert self._is_listening, "nobody has listened yet"
        seen = len(self._events) if since is None else since
        while True:
            events = self()
            for event in events[seen:]:
                if isinstance(event, wanted) if isinstance(wanted, type) else wanted(event):
                    return event
            seen = max(seen, len(events))
            await self._arrival.park()
