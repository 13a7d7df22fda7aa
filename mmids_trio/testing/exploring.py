"""Runs something under many schedules and, where it fails, finds the shortest list of switches that makes it fail.

Apart from `schedules`, which decides one run, because this one chooses among runs: the plain order first, then random
orders and random priorities by turns.  What fails is run again with fewer and fewer of the switches that the failing
schedule made, as delta debugging does (Zeller and Hildebrandt, 2002), until none can be left out.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence

import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from mmids_trio.errors import leaves
from mmids_trio.testing.schedules import Order, Priorities, Schedule, Source, Switch, schedule, seeds
from mmids_trio.testing.watchdog import Watchdog

MOST_SHORTENING = 400
"""Runs that looking for the shortest list takes at most."""

MOST_CHANGES = 3
"""Change points of the priorities that are tried: faults that need more things in order are rare."""

Main = Callable[[], Awaitable[object]]
RunOnce = Callable[[Main], object]
"""Runs something from its beginning to its end, in a `trio.run` of its own."""


def in_virtual_time(main: Main) -> None:
    """`trio.run` on a clock that jumps; deadlocks, livelocks, and tasks below `main` that keep the loop, are errors."""
    watchdog = Watchdog()
    with watchdog.judging(lambda task: task is not watchdog.listener()):
        trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[watchdog])


def explore(
    main: Main,
    *,
    schedules: int = 200,
    seed: int = 0,
    only: str | None = None,
    run: RunOnce = in_virtual_time,
) -> int:
    """Run `main` under so many schedules; the first failure is raised with the switches that it needs, in a note.

    `main` is called anew for each run and must build all that it uses.  `seed` chooses the schedules, the same ones
    each time; `only` is a schedule of a note, for that one alone.  Call it outside of trio.  Returns how many
    schedules there were.
    """
    require_outside_of_trio("explore")
    if only is not None:
        with schedule(Schedule.parse(only)):
            run(main)
        return 1
    for number, found in enumerate(explored(main, schedules, seed, run), 1):
        if found is not None:
            shortest = Shortest.find(main, *found, run)
            note = f"{shortest}\nfound under schedule {number} of {schedules} (seed {seed})"
            shortest.error.add_note(f"{note}\nrepeat it with explore(..., only={str(shortest.schedule)!r})")
            raise shortest.error
    return schedules


def require_outside_of_trio(name: str) -> None:
    """What runs trio itself cannot be called in a test that trio runs; trio's own words are those of the first run."""
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(f"{name} runs trio itself, many times: call it in a test without `async`")


def explored(main: Main, count: int, seed: int, run: RunOnce) -> Iterator[tuple[Schedule, Exception] | None]:
    """Run `main` under so many schedules; of each what failed, with the switches that were made.

    The plain order comes first, then random orders and priorities by turns, with change points among as many rounds as
    the plain run had.
    """
    rounds = 1
    for number, drawn in enumerate(seeds(seed, "explore", count)):
        order: Order = drawn
        if number == 0:
            order = Schedule()
        elif number % 2 == 0:
            order = Priorities(drawn, changes=number // 2 % (MOST_CHANGES + 1), rounds=rounds)
        source, error = attempt(main, order, run)
        rounds = source.round if number == 0 else rounds
        yield None if error is None else (Schedule(tuple(source.taken)), error)


def attempt(main: Main, order: Order, run: RunOnce, *, tells: bool = False) -> tuple[Source, Exception | None]:
    """One run: what decided, and what it raised."""
    with schedule(order) as source:
        source.tells = tells
        try:
            run(main)
        except Exception as error:
            return source, error
    return source, None


def kind_of(error: Exception) -> object:
    """What is the same of two failures that have the same cause, as far as one can tell."""
    group = error if isinstance(error, BaseExceptionGroup) else ExceptionGroup("", [error])
    first = next(leaves(group))
    return type(first), getattr(first, "rule", None)


@define
class Shortest:
    """The shortest schedule that fails in the same way; `str()` says it in words."""

    schedule: Schedule
    error: Exception
    """What the run under it has raised."""
    is_certain: bool = True
    """Whether the failure came again when the same switches were made."""
    _told: dict[int, str] = field(factory=dict)

    @classmethod
    def find(cls, main: Main, found: Schedule, error: Exception, run: RunOnce) -> "Shortest":
        """Shorten `found`, under which `error` came."""
        search = _Search(main, run, kind_of(error))
        if search.fails(()):
            switches: tuple[Switch, ...] = ()
        elif search.fails(found.switches):
            switches = search.simplified(search.shortened(found.switches))
        else:
            return cls(found, error, is_certain=False)
        source, again = attempt(main, Schedule(switches), run, tells=True)
        return cls(Schedule(switches), error if again is None else again, told=source.told)

    def __str__(self) -> str:
        if not self.is_certain:
            return "the same switches did not make it fail again: it depends on something besides the schedule"
        if not self.schedule.switches:
            return "it fails in the plain order of tasks: no switch matters"
        count = len(self.schedule.switches)
        lines = [f"  {switch}  {self._told.get(switch.round, '')}".rstrip() for switch in self.schedule.switches]
        only = "one switch matters" if count == 1 else f"{count} switches matter"
        return "\n".join([f"{only}; without any, tasks run in the order of their creation:", *lines])


@define
class _Search:
    """Looks for fewer switches under which the same failure comes."""

    main: Main
    run: RunOnce
    kind: object
    budget: int = MOST_SHORTENING

    def fails(self, switches: Sequence[Switch]) -> bool:
        if self.budget <= 0:
            return False
        self.budget -= 1
        _, error = attempt(self.main, Schedule(tuple(switches)), self.run)
        return error is not None and kind_of(error) == self.kind

    def shortened(self, switches: tuple[Switch, ...]) -> tuple[Switch, ...]:
        """Leave out as many as can be, in ever smaller parts."""
        parts = 2
        while len(switches) > 1:
            size = -(-len(switches) // parts)
            starts = range(0, len(switches), size)
            without = (switches[:start] + switches[start + size :] for start in starts)
            if (fewer := next((rest for rest in without if self.fails(rest)), None)) is not None:
                switches, parts = fewer, max(parts - 1, 2)
            elif size == 1:
                break
            else:
                parts = min(2 * parts, len(switches))
        return switches

    def simplified(self, switches: tuple[Switch, ...]) -> tuple[Switch, ...]:
        """Make each as small as it can be: one task goes first, and nobody waits, or for a short time."""
        for index, switch in enumerate(switches):
            one = evolve(switch, first=switch.first[:1])
            for smaller in (evolve(one, rounds=0), *(evolve(one, rounds=n) for n in _halves(switch.rounds)), one):
                rest = (*switches[:index], smaller, *switches[index + 1 :])
                if smaller != switch and self.fails(rest):
                    switches = rest
                    break
        return switches


def _halves(rounds: int) -> Iterator[int]:
    """Ever larger parts of a number, from 1."""
    part = 1
    while part < rounds:
        yield part
        part *= 2
