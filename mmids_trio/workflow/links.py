"""The links between steps: an inbox in front of each step, an outlet behind it, a memory channel between.

Everything that changes hands does so in a synchronous function (`Outlet._deliver`, `ChannelInbox.carry`), so a swap of
links by the workflow's task never meets an event half-way.  Only waiting is asynchronous.
"""

from collections import deque
from collections.abc import Callable, Sequence

import trio

from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId
from mmids_trio.workflow.replay import Ledger

INBOX_BATCHES = 16
"""Batches that a link holds before its sender waits. A batch is what one read of a socket produced (at most
256 kB), so a step that stands still costs 4 MB."""

INBOX_EVENTS = 1024
"""Events at which a link is full whatever they come in. A step takes all that is there at once, at 2 to 4 µs for the
smallest events, so what a flood has brought holds up the streams behind it by some milliseconds; ten seconds of an
ordinary stream are fewer."""


class ChannelInbox:
    """Where one step reads. Owned by the workflow; the step sees it through `workflow.step.Inbox`.

    Two slots: the bounded channel, for what senders deliver, and `_carried`, for what must always fit (the
    announcements of a swap, ends of streams).  What is carried goes before what the channel holds.
    """

    def __init__(self, capacity: int = INBOX_BATCHES) -> None:
        self._capacity = capacity
        # One place more than the capacity, for the empty batch that wakes a waiting step.
        self._sender, self._receiver = trio.open_memory_channel[Sequence[MediaEvent]](capacity + 1)
        self._carried: list[MediaEvent] = []
        self._pending = 0
        self._untaken = 0
        self._in_hand = 0
        self._waiting = False
        self._room = trio.lowlevel.ParkingLot()
        self._rest = trio.lowlevel.ParkingLot()

    async def receive(self) -> Sequence[MediaEvent]:
        """See `workflow.step.Inbox`. Cancelling it loses nothing."""
        while True:
            batch: Sequence[MediaEvent] = ()
            if self._carried:
                await trio.lowlevel.checkpoint()
            else:
                batch = await self._wait_for_batch()
            if events := self._take(batch):
                return events

    async def _wait_for_batch(self) -> Sequence[MediaEvent]:
        self._waiting = True
        self._in_hand = 0
        if self.is_at_rest:
            self._rest.unpark_all()
        try:
            return await self._receiver.receive()
        finally:
            self._waiting = False

    def _take(self, batch: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        """Everything that is there, oldest first: `batch` (already received), what is carried, the channel."""
        later = self._take_all()
        self._pending = 0
        self._in_hand, self._untaken = self._untaken, 0
        self._room.unpark_all()
        if not self._carried and not later:
            return batch
        events = [*batch, *self._carried, *later]
        self._carried = []
        return events

    def _take_all(self) -> list[MediaEvent]:
        events: list[MediaEvent] = []
        while True:
            try:
                events += self._receiver.receive_nowait()
            except trio.WouldBlock:
                return events

    @property
    def is_full(self) -> bool:
        """Whether a sender has to wait."""
        return self._pending >= self._capacity or self._untaken >= INBOX_EVENTS

    @property
    def is_at_rest(self) -> bool:
        """Whether the step has taken everything that it was given and waits for more."""
        return self._waiting and self._pending == 0

    def put(self, events: Sequence[MediaEvent]) -> None:
        """Deliver a batch; only when it is not full."""
        self._pending += 1
        self._untaken += len(events)
        self._sender.send_nowait(events)

    def carry(self, events: Sequence[MediaEvent]) -> None:
        """Deliver events that must fit, behind everything that was delivered before."""
        self._carried += self._take_all()
        self._carried += events
        self._pending += 1
        self._untaken += len(events)
        if self._waiting:
            self._sender.send_nowait(())

    def discard(self) -> int:
        """Drop what the step has not taken. Returns how many events that were, and those that the step may still have
        been working on: all that it took last, if it has not come back for more."""
        lost = self._untaken + self._in_hand
        self._take_all()
        self._carried, self._untaken, self._in_hand = [], 0, 0
        return lost

    async def wait_room(self) -> None:
        """Sleep until there may be room, or the sender shall look at its target again."""
        await self._room.park()

    def wake_senders(self) -> None:
        """Have waiting senders look again at where they are to deliver."""
        self._room.unpark_all()

    async def wait_rest(self) -> None:
        """Sleep until the step is at rest."""
        while not self.is_at_rest:
            await self._rest.park()


class Outlet:
    """Where one step writes. Owned by the workflow; the step sees it through `workflow.step.Outbox`."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.passed = 0
        """Events that the step has sent and that were in order, whether anybody took them or not."""
        self.on_media: Callable[[Sequence[MediaEvent]], None] | None = None
        """Told, in passing, of all that the step has sent and that was in order."""
        self._target: ChannelInbox | None = None
        self._detached = False
        self._gate_closed = False
        self._gate = trio.lowlevel.ParkingLot()
        self._held: list[MediaEvent] = []
        self._suppressed: deque[MediaEvent] = deque()

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """See `workflow.step.Outbox`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._deliver(events):
            if self._gate_closed:
                await self._gate.park()
            elif self._target is not None:
                await self._target.wait_room()

    @property
    def takes_now(self) -> bool:
        """See `workflow.step.Outbox`."""
        target = self._target
        return self._detached or not (self._gate_closed or (target is not None and target.is_full))

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """See `workflow.step.Outbox`."""
        target = self._target
        if not self._detached and (admitted := self._admit(events)) and target is not None:
            target.put(admitted)

    def _deliver(self, events: Sequence[MediaEvent]) -> bool:
        if self._detached:
            return True
        target = self._target
        if self._gate_closed or (target is not None and target.is_full):
            return False
        admitted = self._admit(events)
        if target is not None and admitted:
            target.put(admitted)
        return True

    def _admit(self, events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        if self._suppressed:
            events = [event for event in events if not self._is_suppressed(event)]
        admitted = self.ledger.admit(events)
        self.passed += len(admitted)
        if self.on_media is not None:
            self.on_media(admitted)
        return admitted

    def _is_suppressed(self, event: MediaEvent) -> bool:
        """Whether `event` shall be kept back. Those before it will not come: the step has dropped them."""
        if not any(event is awaited for awaited in self._suppressed):
            return False
        while self._suppressed.popleft() is not event:
            pass
        return True

    def end_stream(self, stream_id: StreamId) -> None:
        """See `workflow.step.Outbox`."""
        self.push([StreamEnded(stream_id)])

    def restart_stream(self, stream_id: StreamId, gap: int) -> None:
        """See `workflow.step.Outbox`."""
        self.ledger.restart(stream_id, gap)

    @property
    def is_closed(self) -> bool:
        """Whether the gate is closed."""
        return self._gate_closed

    @property
    def has_room(self) -> bool:
        """Whether media may be pushed, rather than left out."""
        return self._target is None or not self._target.is_full

    def push(self, events: Sequence[MediaEvent]) -> None:
        """Deliver without waiting: ends of streams, and whatever else must fit; media only where there `has_room`."""
        if self._gate_closed:
            self._held += events
        elif not self._detached:
            self._carry(events)

    def _carry(self, events: Sequence[MediaEvent]) -> None:
        admitted, target = self._admit(events), self._target
        if target is None or not admitted:
            return
        if target.is_full:
            target.carry(admitted)
        else:
            target.put(admitted)

    def close_gate(self) -> None:
        """Let nothing through until `open_gate`; senders wait, ends of streams are held."""
        self._gate_closed = True

    def open_gate(self) -> None:
        """Let senders go on, to wherever the target is now."""
        self._gate_closed = False
        held, self._held = self._held, []
        if held and not self._detached:
            self._carry(held)
        self._gate.unpark_all()

    def connect(self, target: ChannelInbox | None, suppressed: Sequence[MediaEvent] = ()) -> None:
        """Deliver to `target` from now on (`None`: to nobody); keep `suppressed` back when they come."""
        self._suppressed += suppressed
        if target is not self._target:
            previous, self._target = self._target, target
            if previous is not None:
                previous.wake_senders()

    def detach(self) -> None:
        """The step is being stopped: whatever it still sends goes nowhere."""
        self._detached = True
        self.connect(None)
        self.open_gate()
