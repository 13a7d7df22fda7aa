"""What is done to a step to see whether it keeps its contract: each scenario once, from its start to its end.

Apart from `checking`, which chooses scenarios and schedules: a scenario knows nothing of either.  Times are virtual.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, cycle, pairwise
from random import Random

import trio
from attrs import define, field, frozen

from mmids_trio.media.events import MediaEvent
from mmids_trio.media.flow import Flow
from mmids_trio.testing.event_sequences import Move, Moves, events_of, events_of_odd, random_moves
from mmids_trio.testing.odd_streams import zoo
from mmids_trio.testing.state_growth import Growth, without_collector
from mmids_trio.testing.step_rig import Case, Rig, rigged
from mmids_trio.testing.step_rules import StepFault, StepRule

SETTLE_SECONDS = 90
"""After the last event, so that whatever a step holds back for a while has come out."""

READ_SECONDS = 600
"""Within which a step reads again whose outbox is read."""

CALM_SECONDS = 0.02
"""Between two events of the calm run."""

FLOOD = 3_000
"""Events that a step is offered while nobody reads what it sends."""

MOST_IN_HAND = 2_000
"""Of these, what a step may have taken: what stands in bounded queues of its own."""

PERIODS = 12
PERIOD_SECONDS = 300
"""An hour, in equal parts with equal traffic."""

STREAMS_OF_PERIOD = 14
"""Enough that a table which is swept at 64 entries is swept in the latter half of the hour."""

MOST_CHECKPOINTS = 150
"""At which a step is cancelled in turn."""


@frozen
class Feed:
    """What a step is given."""

    name: str
    events: Sequence[MediaEvent]


def feeds(seed: int) -> list[Feed]:
    """A few streams at once, a stream that comes again under its id, and one of the zoo."""
    random = Random(seed)
    again: Moves = [
        (0, Move.VIDEO),
        (0, Move.AUDIO),
        (0, Move.END),
        (1, Move.AUDIO),
        (0, Move.KEY_FRAME),
        (1, Move.END),
    ]
    odd = zoo.changing_size(every_s=0.4) + zoo.dirty_metadata(seconds=0.4)
    return [
        Feed("a few streams", events_of(random_moves(random, count=40))),
        Feed("streams that end and come again", events_of([*again, *again])),
        Feed("a stream of the zoo", events_of_odd(odd)),
    ]


# Around the step.


def in_batches(events: Sequence[MediaEvent], random: Random, most: int) -> Iterator[Sequence[MediaEvent]]:
    """The events in batches of random sizes."""
    at = 0
    while at < len(events):
        size = random.randint(1, most)
        yield list(events[at : at + size])
        at += size


async def give(rig: Rig, batches: Iterable[Sequence[MediaEvent]], pauses: Iterator[float]) -> None:
    """Deliver as a workflow does, with a pause behind each batch."""
    for batch in batches:
        with trio.move_on_after(READ_SECONDS) as patience:
            while rig.inbox.is_full:
                await rig.inbox.wait_room()
        if patience.cancelled_caught:
            rig.require_running()
            raise StepFault(
                StepRule.LOST, f"for {READ_SECONDS} s it has not read, although what it sends is read:\n{rig.where()}"
            )
        rig.judge.feed(batch, trio.current_time())
        rig.inbox.put(batch)
        await trio.sleep(next(pauses))


async def read(rig: Rig, pauses: Iterator[float]) -> None:
    """Take what the step sends, with a pause behind each time."""
    while True:
        await rig.after.receive()
        await trio.sleep(next(pauses))


def always(seconds: float) -> Iterator[float]:
    """The same pause each time."""
    return (seconds for _ in count())


def one_of(random: Random, *seconds: float) -> Iterator[float]:
    """Now this pause, now that."""
    return (random.choice(seconds) for _ in count())


def is_fed(rig: Rig) -> bool:
    """Whether anything is delivered to the step at all."""
    return rig.step.flow is not Flow.PRODUCES


# Scenarios.


@frozen
class Traffic:
    """How fast events come, and how fast what the step sends is read."""

    name: str
    most_in_batch: int
    between: tuple[float, ...]
    reading: tuple[float, ...]
    room: int = 16

    async def run(
        self, case: Case, events: Sequence[MediaEvent], random: Random, expected: Sequence[MediaEvent] | None
    ) -> Sequence[MediaEvent]:
        """Give the step the events and judge what it has sent, which is returned."""
        async with rigged(case, room=self.room) as rig, trio.open_nursery() as nursery:
            async with trio.open_nursery() as while_fed:
                while_fed.start_soon(read, rig, one_of(random, *self.reading))
                if is_fed(rig):
                    await give(rig, in_batches(events, random, self.most_in_batch), one_of(random, *self.between))
                while_fed.cancel_scope.cancel()
            nursery.start_soon(read, rig, always(0))
            await trio.sleep(SETTLE_SECONDS)
            rig.require_running()
            rig.judge.require_all(expected)
            nursery.cancel_scope.cancel()
        return rig.judge.sent


CALM = Traffic("one event at a time", 1, (CALM_SECONDS,), (0,))
TRAFFIC = {
    "fast": Traffic("events as fast as can be", 8, (0,), (0,)),
    "slow": Traffic("a reader that is slow and stands still at times", 3, (0, 0, 0.01), (0, 0, 0.3, 7, 45), room=1),
    "mixed": Traffic("a few at a time", 3, (0, 0, 0.01, 0.5), (0, 0, 0.01)),
}


async def nobody_reads(case: Case) -> None:
    """The step is flooded while nobody reads what it sends; then all of it is read."""
    events = events_of([(0, move) for move in (Move.VIDEO, Move.AUDIO) for _ in range(FLOOD // 2)], all_end=False)
    async with rigged(case, room=2) as rig, trio.open_nursery() as nursery:
        if not is_fed(rig):
            nursery.cancel_scope.cancel()
            return
        with trio.move_on_after(SETTLE_SECONDS):
            await give(rig, ([event] for event in events), always(0))
        rig.require_running()
        taken = len(rig.judge.fed)
        if rig.after.is_full and taken > MOST_IN_HAND and not case.depends_on_time:
            raise StepFault(
                StepRule.BACK_PRESSURE,
                f"it took {taken} events although its outbox was full after {len(rig.judge.sent)}",
            )
        place, held = _look(rig, Growth(own_package(rig.step))).largest()
        if held > MOST_IN_HAND:
            raise StepFault(
                StepRule.BACK_PRESSURE, f"nobody read what it sent, and {place} held {held} of {taken} events"
            )
        nursery.start_soon(read, rig, always(0))
        await trio.sleep(SETTLE_SECONDS)
        nursery.cancel_scope.cancel()


async def an_hour(case: Case) -> None:
    """The same traffic again and again, with streams of new ids each time; then an hour in which nothing comes."""
    delays: list[float] = []
    with without_collector():
        async with rigged(case) as rig, trio.open_nursery() as nursery:
            growth = Growth(own_package(rig.step))
            nursery.start_soon(read, rig, always(0))
            for period in range(PERIODS):
                rig.judge.forget()
                if is_fed(rig):
                    moves = _hourly_moves(period)
                    begun = trio.current_time()
                    await give(rig, ([event] for event in events_of(moves)), cycle(_HOURLY_PAUSES))
                    await trio.sleep_until(begun + PERIOD_SECONDS)
                else:
                    await trio.sleep(PERIOD_SECONDS)
                rig.require_running()
                rig.judge.require_fine()
                delays.append(rig.judge.longest_delay)
                _look(rig, growth)
            if (grown := growth.found()) is not None:
                raise StepFault(StepRule.STATE, grown)
            if (late := growing(delays)) is not None:
                raise StepFault(StepRule.STATE, f"it sends events later and later: {late} s behind their arrival")
            await trio.sleep(PERIODS * PERIOD_SECONDS)
            rig.require_running()
            nursery.cancel_scope.cancel()


def own_package(step: object) -> str:
    """Whose objects are the step's own."""
    module = type(step).__module__
    return module.rpartition(".")[0] or module


def _look(rig: Rig, growth: Growth) -> Growth:
    growth.look({"step": rig.step}, rig.tasks.living)
    return growth


def _hourly_moves(period: int) -> Moves:
    """Two streams of some length, and more that are short; all have ids that were not there before."""
    first = period * STREAMS_OF_PERIOD
    short = [(first + number, move) for number in range(2, STREAMS_OF_PERIOD) for move in (Move.KEY_FRAME, Move.END)]
    return [*((first + number, move) for _ in range(5) for number in (0, 1) for move in _HOURLY), *short]


_HOURLY = (Move.KEY_FRAME, Move.VIDEO, Move.AUDIO, Move.HEADER, Move.METADATA)


_HOURLY_PAUSES = (0.1, 1, 3)


def growing(values: Sequence[float]) -> str | None:
    """The numbers, where each of the latter half is above the one before it."""
    half = values[len(values) // 2 - 1 :]
    if all(later > earlier for earlier, later in pairwise(half)):
        return ", ".join(f"{value:g}" for value in half)
    return None


@define
class Cancellation:
    """The step is cancelled at its checkpoint `number`, with a reader or without one."""

    number: int
    is_read: bool
    count: int = field(default=0, init=False)
    """Checkpoints that there were."""

    def __str__(self) -> str:
        return f"cancelled at checkpoint {self.number}, while its outbox is {'read' if self.is_read else 'not read'}"

    async def run(self, case: Case) -> None:
        """See `Traffic.run`."""
        room = 16 if self.is_read else 1
        with ExitStack() as at_end:
            async with rigged(case, room=room, cancel_at=self.number) as rig, trio.open_nursery() as nursery:
                at_end.callback(self._note, rig)
                if self.is_read:
                    nursery.start_soon(read, rig, always(0))
                if is_fed(rig) and not rig.is_cancelled:
                    with trio.move_on_after(SETTLE_SECONDS):
                        await give(rig, ([event] for event in _BRIEF), always(0.3))
                nursery.cancel_scope.cancel()

    def _note(self, rig: Rig) -> None:
        self.count = rig.tasks.checkpoints


_BRIEF = events_of(
    [(0, Move.VIDEO), (1, Move.AUDIO), (0, Move.END), (1, Move.VIDEO), (1, Move.HEADER), (1, Move.METADATA)],
    all_end=False,
)
