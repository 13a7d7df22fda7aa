"""`check_step`: whether a step keeps its contract, in the manner of trio.testing's checks of streams.

A step is run again and again: in each scenario under the plain order of tasks, cancelled at each of its checkpoints,
through swaps around it, and at last under many schedules.  The first fault ends it, with the rule that is broken in the
words of the contract, and with what repeats it.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random

from attrs import define, field, frozen
from structlog.testing import capture_logs

from mmids_trio.errors import leaves
from mmids_trio.media.events import MediaEvent
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.exploring import (
    MOST_CHANGES,
    Main,
    Shortest,
    attempt,
    in_virtual_time,
    require_outside_of_trio,
)
from mmids_trio.testing.schedules import Order, Priorities, Schedule, seeds
from mmids_trio.testing.step_rig import Case
from mmids_trio.testing.step_rules import StepFault, StepRule
from mmids_trio.testing.step_scenarios import (
    CALM,
    MOST_CHECKPOINTS,
    TRAFFIC,
    Cancellation,
    Feed,
    Traffic,
    an_hour,
    feeds,
    nobody_reads,
)
from mmids_trio.testing.step_swaps import swaps
from mmids_trio.testing.stuck import BlockingCall, Stuck

CANCELLATIONS_EVERY = 4
"""Of the schedules, one in so many cancels the step somewhere."""

BLOCKS_AGAIN = 2
"""Times that a run has to block again, on a machine that may be busy."""

GivenStep = StepType | Callable[[], StepType] | Callable[[], AbstractAsyncContextManager[StepType]]
"""A kind of step, what makes one anew for each run, or what makes one with a world around it."""

Expects = Callable[[Sequence[MediaEvent]], Sequence[MediaEvent]]
"""Tells which events come out, of those that go in."""


def run_once(main: Main) -> None:
    """`trio.run` on a clock that jumps; a fault that was found is raised as it is."""
    try:
        with capture_logs():
            in_virtual_time(main)
    except Exception as error:
        found = list(leaves(error))
        fault = next((one for one in found if isinstance(one, StepFault)), None)
        stuck = next((one for one in found if isinstance(one, Stuck)), None)
        if fault is not None:
            raise fault from fault.__cause__
        if stuck is not None:
            raise StepFault(StepRule.LIVELOCK, str(stuck)) from None
        if all(isinstance(one, BlockingCall) for one in found):
            return  # of a server around the step: the rig makes a fault of what the step does
        if len(found) == 1 and isinstance(found[0], Exception):
            raise found[0] from found[0].__cause__
        raise


def check_step(
    step_type: GivenStep,
    parameters: str = "",
    *,
    schedules: int = 200,
    seed: int = 0,
    only: str | None = None,
    expects: Expects | None = None,
    depends_on_time: bool = False,
) -> int:
    """Raise `StepFault` where a step breaks a rule of its contract; returns how many runs there were.

    `parameters` as an operator writes them.  The step is run in several scenarios, cancelled at each of its
    checkpoints, swapped in and out, and run under so many `schedules`, which `seed` chooses together with the media.
    What comes out has to be the same each time, unless it `depends_on_time`: a step may leave out what is late, or have
    an encoder.  `expects` tells which events come out, of those that go in.  `only`
    is what a report says to repeat one run.  Call it outside of trio.
    """
    require_outside_of_trio("check_step")
    check = _Check(Case(partial(_in_world, step_type), parameters, depends_on_time), seed, expects)
    if only is not None:
        check.repeat(only)
    else:
        check.run_all(schedules)
    return check.runs


@asynccontextmanager
async def _in_world(given: GivenStep) -> AsyncIterator[StepType]:
    made = given if isinstance(given, StepType) else given()
    if isinstance(made, StepType):
        yield made
    else:
        async with made as step_type:
            yield step_type


@frozen
class _Plan:
    """One run: what is done to the step. `name` repeats it."""

    name: str
    what: str
    main: Main


@define
class _Check:
    """All runs of one step."""

    case: Case
    seed: int
    expects: Expects | None
    runs: int = 0
    feeds: Sequence[Feed] = field(init=False)
    _calm: dict[int, Sequence[MediaEvent]] = field(factory=dict)
    """What has come out, of each feed, when events came one at a time."""

    def __attrs_post_init__(self) -> None:
        self.feeds = feeds(self.seed)

    def run_all(self, schedules: int) -> None:
        """Each scenario in the plain order, then under schedules."""
        for name in self._plain():
            self.run(name, Schedule())
        checkpoints = [self._cancel_everywhere(kind) for kind in ("cancel", "cancel-unread")]
        self._explore(schedules, checkpoints)

    def _plain(self) -> Iterator[str]:
        numbers = range(len(self.feeds))
        yield from (f"calm/{number}" for number in numbers)
        yield from (f"{traffic}/{number}" for traffic in TRAFFIC for number in numbers)
        yield from ("flood", "swaps", "hour")

    def _cancel_everywhere(self, kind: str) -> int:
        """Returns how many checkpoints there are."""
        for number in range(1, MOST_CHECKPOINTS + 1):
            cancellation = Cancellation(number, is_read=kind == "cancel")
            self._run(_Plan(f"{kind}/{number}", str(cancellation), partial(cancellation.run, self.case)), Schedule())
            if cancellation.count < number:
                return cancellation.count
        return MOST_CHECKPOINTS

    def _explore(self, schedules: int, checkpoints: Sequence[int]) -> None:
        rounds = 1
        for number, drawn in enumerate(seeds(self.seed, "check_step", schedules)):
            random = Random(drawn)
            order: Order = drawn
            if number % 2:
                order = Priorities(drawn, changes=number // 2 % (MOST_CHANGES + 1), rounds=rounds)
            if number % CANCELLATIONS_EVERY == CANCELLATIONS_EVERY - 1:
                is_read = random.random() < 1 / 2
                name = f"{'cancel' if is_read else 'cancel-unread'}/{random.randint(1, max(*checkpoints, 1))}"
            else:
                name = f"{random.choice(list(TRAFFIC))}/{random.randrange(len(self.feeds))}/{random.getrandbits(16)}"
            rounds = max(rounds, self.run(name, order))

    def repeat(self, only: str) -> None:
        """The run that a report names."""
        name, _, order = only.partition(" ")
        self.run(name, Schedule.parse(order or "plain"))

    def run(self, name: str, order: Order) -> int:
        """One run by its name; returns how many rounds it had."""
        return self._run(self._plan(name), order)

    def _plan(self, name: str) -> _Plan:
        kind, *numbers = name.split("/")
        figures = [int(number) for number in numbers]
        match kind:
            case "calm":
                return _Plan(name, f"{CALM.name}, {self.feeds[figures[0]].name}", partial(self._run_calm, figures[0]))
            case "flood":
                return _Plan(name, "a flood while nobody reads", partial(nobody_reads, self.case))
            case "hour":
                return _Plan(name, "an hour of the same traffic", partial(an_hour, self.case))
            case "swaps":
                passes_all = partial(self._passes_all, self.feeds[0])
                return _Plan(name, "the workflow changes around it", partial(swaps, self.case, passes_all))
            case "cancel" | "cancel-unread":
                cancellation = Cancellation(figures[0], is_read=kind == "cancel")
                return _Plan(name, str(cancellation), partial(cancellation.run, self.case))
        traffic, feed = TRAFFIC[kind], self.feeds[figures[0]]
        drawn = Random(figures[1] if figures[1:] else 0)
        return _Plan(
            name, f"{traffic.name}, {feed.name}", partial(self._run_traffic, traffic, figures[0], drawn.getstate())
        )

    async def _run_calm(self, number: int) -> None:
        self._calm[number] = await CALM.run(self.case, self.feeds[number].events, Random(0), self._told(number))

    async def _run_traffic(self, traffic: Traffic, number: int, state: object) -> None:
        random = Random()
        random.setstate(state)  # type: ignore[arg-type]  # of another
        await traffic.run(self.case, self.feeds[number].events, random, self._expected(number))

    def _told(self, number: int) -> Sequence[MediaEvent] | None:
        return None if self.expects is None else self.expects(self.feeds[number].events)

    def _expected(self, number: int) -> Sequence[MediaEvent] | None:
        """What has to come out: what the tester says, or what came out when all was calm."""
        if (told := self._told(number)) is not None:
            return told
        return self._calm.get(number) if not self.case.depends_on_time else None

    def _passes_all(self, feed: Feed) -> bool:
        expected = self._expected(0)
        return expected is not None and list(map(id, expected)) == list(map(id, feed.events))

    def _run(self, plan: _Plan, order: Order) -> int:
        self.runs += 1
        source, error = attempt(plan.main, order, run_once)
        for _ in range(BLOCKS_AGAIN):  # of real time, so once is not enough
            if getattr(error, "rule", None) is StepRule.BLOCKS:
                _, error = attempt(plan.main, order, run_once)
        if error is None:
            return source.round
        if order == Schedule():
            shortest = Shortest(Schedule(), error)
        else:
            shortest = Shortest.find(plan.main, Schedule(tuple(source.taken)), error, run_once)
        failure = shortest.error
        again = (
            f"check_step(..., only={f'{plan.name} {shortest.schedule}'!r}{f', seed={self.seed}' if self.seed else ''})"
        )
        failure.add_note(f"in this scenario: {plan.what}\n{shortest}\nfound in run {self.runs}; repeat it with {again}")
        raise failure
