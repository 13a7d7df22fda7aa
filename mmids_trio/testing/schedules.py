"""Schedules: in which order trio runs tasks that could run now, decided by a seed, by priorities or by a list.

Apart from the pytest plugin, so that tests which call `trio.run` themselves can choose a schedule too: trio shuffles
the tasks of each of its rounds with a random source of its own, in whose place a source of ours decides.  The same
choice gives the same run, as long as the test touches no socket, thread, process or real clock.

The plain order, from which a `Schedule` says where it differs, is that of the tasks' creation: each round runs every
task that could run when it began.
"""

from collections import Counter
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from random import Random
from typing import Any, Self

import trio
from attrs import evolve, frozen
from trio._core import _run

SEED_BITS = 32
"""Short enough to be copied from a report by hand."""

LONGEST_WAIT = 30
"""Rounds that a task which could run is kept waiting at most: one that spins must not starve the others for ever."""

OF_TRIO = "<TrioToken.run_sync_soon task>"
"""A task of trio's own, which runs first: what it is for would only blur a trace."""

MOST_NOTES = 20_000
"""Places of switches that are remembered for a trace."""

MOST_NAMED = 2
"""Tasks that wait and are named, of one round."""

ALONE = "*"
"""In a switch, before the number of rounds in which the others wait."""


@frozen
class Switch:
    """Where a schedule leaves the plain order: in this round (from 1) tasks go first that are not the first.

    `first` has their places among those that could run, in the order of their creation, from 0; places that there are
    not count for nothing.  The others follow in the plain order.  Where `rounds` is not 0 they wait: the first
    task runs alone, whenever it can, for so many rounds.
    """

    round: int
    first: tuple[int, ...]
    rounds: int = 0

    def __str__(self) -> str:
        return f"{self.round}:{','.join(map(str, self.first))}{f'{ALONE}{self.rounds}' if self.rounds else ''}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` has written. Raises `ValueError`."""
        number, _, order = text.partition(":")
        first, alone, rounds = order.partition(ALONE)
        return cls(int(number), tuple(map(int, first.split(","))), int(rounds) if alone else 0)


@frozen
class Schedule:
    """The plain order, but for `switches`; `str()` gives a text that `parse` reads."""

    switches: tuple[Switch, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.switches)) or "plain"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` has written. Raises `ValueError`."""
        return cls(tuple(map(Switch.parse, () if text == "plain" else text.split())))


@frozen
class Priorities:
    """PCT: each task has a random priority and runs alone as long as none above it could run.

    At `changes` rounds, chosen at random among the first `rounds`, the task that is about to run falls below all
    others.  A fault that needs `changes + 1` things in an unlucky order is found with a probability that only falls
    with the length of the test (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding
    Bugs", 2010), where random orders find it with one that falls exponentially.
    """

    seed: int
    changes: int = 3
    rounds: int = 300


Order = int | Schedule | Priorities
"""Decides who runs: a seed (random orders, as trio's own), a list of switches, or random priorities."""


class Source(Random):
    """Stands in the place of trio's random source: trio has it shuffle the tasks of each round.

    This one leaves them in the plain order.  It notes what it chose (`taken`) and, where `tells` is set, who that was
    (`told`).
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.round = 0
        self.taken: list[Switch] = []
        self.most_notes = MOST_NOTES
        self.tells = False
        self.told: dict[int, str] = {}
        self._alone: trio.lowlevel.Task | None = None
        self._waited: Counter[trio.lowlevel.Task] = Counter()

    def shuffle(self, x: MutableSequence[Any]) -> None:
        """Order the tasks `x` of one round, the last of which runs first; those that shall wait are taken out."""
        self.round += 1
        own = [task for task in x if task.name == OF_TRIO]
        if own and len(own) < len(x):
            x[:] = [task for task in x if task.name != OF_TRIO]
            self._order(x)
            x += own
        else:
            self._order(x)

    def _order(self, x: MutableSequence[Any]) -> None:
        plain = range(len(x))
        places = self.choose(x) if len(x) > 1 else ()
        if not places or list(places) == list(plain):
            x.reverse()
            for task in x:
                self._waited.pop(task, None)
            return
        waiting = [x[place] for place in plain if place not in places]
        overdue = [task for task in waiting if self._waited[task] >= LONGEST_WAIT]
        running = [x[place] for place in places] + overdue
        self._note(x, running)
        for task in running:
            self._waited.pop(task, None)
        for task in waiting:
            if task not in overdue:
                self._waited[task] += 1
                _run.GLOBAL_RUN_CONTEXT.runner.runq.append(task)
        x[:] = reversed(running)

    def choose(self, tasks: Sequence[trio.lowlevel.Task]) -> Sequence[int]:
        """The places of those that run in this round, in their order; nothing for the plain order."""
        return ()

    def _note(self, tasks: Sequence[trio.lowlevel.Task], running: Sequence[trio.lowlevel.Task]) -> None:
        if len(self.taken) >= self.most_notes:
            return
        places = [tasks.index(task) for task in running]
        alone = running[0] if len(running) == 1 else None
        if alone is not None and alone is self._alone:
            self.taken[-1] = evolve(self.taken[-1], rounds=self.round - self.taken[-1].round + 1)
            return
        self._alone = alone
        if len(running) == len(tasks):  # what follows in the plain order need not be said
            places = next(short for n in range(len(places)) if _follow(short := places[: n + 1], len(tasks)) == places)
        self.taken.append(Switch(self.round, tuple(places), int(len(running) < len(tasks))))
        if self.tells:
            others = [task for task in tasks if task is not running[0]]
            order = "before" if len(running) > 1 else "while there wait:"
            who = " and ".join(map(_who, others[:MOST_NAMED])) + (" and others" if len(others) > MOST_NAMED else "")
            self.told[self.round] = f"at {trio.current_time():.3f} s {_who(running[0])} runs {order} {who}"


def _who(task: trio.lowlevel.Task) -> str:
    """The task's name without its module, and the line of ours or the tester's at which it goes on."""
    frames = [frame for frame, _ in task.iter_await_frames() if "/trio/" not in frame.f_code.co_filename]
    frame = frames[-1] if frames else task.coro.cr_frame
    place = "" if frame is None else f" ({PurePath(frame.f_code.co_filename).name}:{frame.f_lineno})"
    return f"{task.name.rpartition('.')[2]}{place}"


def _follow(first: Sequence[int], count: int) -> list[int]:
    """The whole order of a round in which `first` goes first."""
    return [*first, *(place for place in range(count) if place not in first)]


class _Random(Source):
    """Random orders; those that trio itself would make of the same seed."""

    def choose(self, tasks: Sequence[trio.lowlevel.Task]) -> Sequence[int]:
        places = list(range(len(tasks)))
        Random.shuffle(self, places)
        return places[::-1]


class _Listed(Source):
    """The plain order with switches."""

    def __init__(self, listed: Schedule) -> None:
        super().__init__()
        self._switches = {switch.round: switch for switch in listed.switches}
        self._runs_alone: trio.lowlevel.Task | None = None
        self._until = 0

    def choose(self, tasks: Sequence[trio.lowlevel.Task]) -> Sequence[int]:
        switch = self._switches.get(self.round)
        first = [] if switch is None else [place for place in dict.fromkeys(switch.first) if place < len(tasks)]
        if switch is not None and first:
            self._runs_alone, self._until = tasks[first[0]], self.round + switch.rounds
            return first if switch.rounds else _follow(first, len(tasks))
        if self._runs_alone in tasks and self.round < self._until:
            return [tasks.index(self._runs_alone)]
        return ()


class _Prioritized(Source):
    """See `Priorities`."""

    def __init__(self, wanted: Priorities) -> None:
        super().__init__(wanted.seed)
        self._changes = {self.randint(1, wanted.rounds) for _ in range(wanted.changes)}
        self._priorities: dict[trio.lowlevel.Task, float] = {}

    def choose(self, tasks: Sequence[trio.lowlevel.Task]) -> Sequence[int]:
        for task in tasks:
            self._priorities.setdefault(task, self.random())
        best = max(tasks, key=self._priorities.__getitem__)
        if self.round in self._changes:
            self._priorities[best] = -float(self.round)
            best = max(tasks, key=self._priorities.__getitem__)
        return [tasks.index(best)]


def source_of(order: Order) -> Source:
    """What decides as `order` says."""
    match order:
        case Schedule():
            return _Listed(order)
        case Priorities():
            return _Prioritized(order)
        case _:
            return _Random(order)


@contextmanager
def schedule(order: Order, *, takes_notes: bool = True) -> Iterator[Source]:
    """What trio runs inside follows the schedule of `order`; the random source goes on as before afterwards.

    Without `takes_notes` the switches that were made are not remembered, for who measures memory.

    `with schedule(7): trio.run(main, clock=MockClock(autojump_threshold=0))`
    """
    source, was_deterministic = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    ours = source_of(order)
    if not takes_notes:
        ours.most_notes = 0
    _run._r = ours
    # Without it trio does not sort a round's tasks before it shuffles them, and sets of tasks have no order.
    _allow_determinism(True)
    try:
        yield ours
    finally:
        _run._r = source
        _allow_determinism(was_deterministic)


def _allow_determinism(allowed: bool) -> None:
    _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]  # trio's own switch, said to be constant


def draw_seed() -> int:
    """A seed that follows from the schedule at work (and is any seed where there is none)."""
    return _run._r.getrandbits(SEED_BITS)


def seeds(base: int, test: str, count: int) -> list[int]:
    """`count` seeds for a test's schedules: the same for the same base seed and name of the test."""
    random = Random(f"{base} {test}")
    return [random.getrandbits(SEED_BITS) for _ in range(count)]
