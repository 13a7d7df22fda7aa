"""The event hub: hands what happens (`events`) to any number of subscribers.

Publishing never waits.  Each subscriber has a bounded queue; one that does not keep up misses the oldest events, and
is told how many.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from mmids_trio.workflow.events import HubEvent, hidden

QUEUED_EVENTS = 1024
"""Events that wait for a subscriber: a restart of a few hundred workflows at once."""


@define(eq=False)
class Subscription:
    """One subscriber's queue; iterate over it."""

    capacity: int
    missed: int = field(default=0, init=False)
    """Events that were dropped because the queue was full."""
    _queue: deque[HubEvent] = field(factory=deque, init=False)
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def put(self, event: HubEvent) -> None:
        """Queue an event, in place of the oldest where there is no room."""
        if len(self._queue) >= self.capacity:
            self._queue.popleft()
            self.missed += 1
        self._queue.append(event)
        self._arrival.unpark_all()

    def take(self) -> list[HubEvent]:
        """All events that wait, oldest first, without waiting for any."""
        events = list(self._queue)
        self._queue.clear()
        return events

    async def arrival(self) -> None:
        """Wait for the next event to be put, whatever waits already; it is not taken."""
        await self._arrival.park()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> HubEvent:
        """The next event, however long it takes."""
        await trio.lowlevel.checkpoint()
        while not self._queue:
            await self._arrival.park()
        return self._queue.popleft()


@define(eq=False)
class EventHub:
    """Hands every event to every subscriber, without the texts that `hide` takes away."""

    _hide: Callable[[str], str] = lambda text: text
    missed_before: int = field(default=0, init=False)
    """Events that subscribers who have left had missed."""
    _listeners: list[Callable[[HubEvent], None]] = field(factory=list, init=False)
    _subscriptions: dict[Subscription, None] = field(factory=dict, init=False)
    _leaving: int = field(default=0, init=False)
    """Listeners that will leave."""

    @property
    def subscriptions(self) -> int:
        """How many there are, with listeners that will leave."""
        return len(self._subscriptions) + self._leaving

    @property
    def missed(self) -> int:
        """Events that were too many for a subscriber, ever."""
        return self.missed_before + sum(subscription.missed for subscription in self._subscriptions)

    def listen(self, listener: Callable[[HubEvent], None]) -> None:
        """Call `listener` with every event, at once and as long as the hub is there; it must neither wait nor raise."""
        self._listeners.append(listener)

    @contextmanager
    def listening(self, listener: Callable[[HubEvent], None]) -> Iterator[None]:
        """The same as long as the block runs, for who has a queue of its own."""
        self._listeners.append(listener)
        self._leaving += 1
        try:
            yield
        finally:
            self._listeners.remove(listener)
            self._leaving -= 1

    def publish(self, event: HubEvent) -> None:
        """Tell all subscribers. Synchronous; costs nothing where there is none."""
        if not isinstance(event, HubEvent):  # a step of one's own may be untyped; subscribers rely on it
            raise TypeError(f"expected an event of mmids_trio.workflow.events, got {type(event).__name__}")
        event = hidden(event, self._hide)
        for listener in self._listeners:
            listener(event)
        for subscription in self._subscriptions:
            subscription.put(event)

    @contextmanager
    def subscribe(self, capacity: int = QUEUED_EVENTS) -> Iterator[Subscription]:
        """All events from now on, as long as the block runs."""
        subscription = Subscription(capacity)
        self._subscriptions[subscription] = None
        try:
            yield subscription
        finally:
            del self._subscriptions[subscription]
            self.missed_before += subscription.missed
