"""The bench on which rows are measured: what they share, and the order in which subjects take turns."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio
from attrs import define, evolve, field, frozen

from benchmarks.against import beside
from benchmarks.figures import Check, Result, Run, Target, doubts
from benchmarks.load import Load
from benchmarks.machine import Cores, NotPossible
from benchmarks.subjects import NginxRtmp, NodeMediaServer, Server, Subject, running
from mmids_trio.errors import leaves


@frozen
class Effort:
    """How much is measured."""

    repeat: int
    """Rounds, in each of which every subject has its turn."""
    seconds: float
    """Of one window in which is counted."""
    warm_up: float
    """Seconds before it: connections are made, newcomers get their first group of pictures."""
    scale: float = 1.0
    """By which numbers of watchers, publishers and workflows are multiplied."""

    def scaled(self, number: int) -> int:
        """`number` of a full run, as this run has it."""
        return max(1, round(number * self.scale))


NGINX_AT_ONCE = "nginx-rtmp with TCP_NODELAY"

FULL = Effort(repeat=3, seconds=8.0, warm_up=4.0)
QUICK = Effort(repeat=1, seconds=2.0, warm_up=1.5, scale=0.1)
"""Shows that everything works; its figures are no good."""


@frozen
class Measured:
    """All runs of one row, and what went wrong meanwhile."""

    runs: Sequence[Run]
    notes: Sequence[str]


@define(eq=False)
class Bench:
    """Where rows are measured."""

    effort: Effort
    cores: Cores
    load: Load
    nginx: NginxRtmp
    node: NodeMediaServer
    say: Callable[[str], None]
    other: Path | None = None
    """A checkout that this one is measured against, in place of the peers."""
    versions: dict[str, str] = field(factory=dict, init=False)
    """Of the subjects that have been asked for, and why some cannot run."""

    @property
    def nginx_at_once(self) -> NginxRtmp:
        """nginx-rtmp without Nagle's algorithm: it sends as promptly as this server does."""
        return NginxRtmp(NGINX_AT_ONCE, self.load.directory / "at_once.so")

    def run(self, subject: Subject) -> AbstractAsyncContextManager[Server]:
        """See `subjects.running`."""
        return running(subject, self.cores.server)

    async def alternate(
        self, subjects: Sequence[Subject], measure: Callable[[Subject], Awaitable[Sequence[Run]]]
    ) -> Measured:
        """Measure each that can run in turn, round after round; a run carries its round's number.

        What goes wrong with one subject is a note, and does not stop the others.
        """
        able, notes = self.able(self.compared(subjects))
        runs: list[Run] = []
        for number, subject in turns(able, self.effort.repeat):
            self.say(f"  round {number + 1}: {subject.name}")
            try:
                made = [evolve(run, round=number) for run in await measure(subject)]
                runs += made
                notes += [
                    f"round {number + 1}, {run.subject}, {run.figures.get('watchers', 0):g} watchers: {doubt}"
                    for run in made
                    for doubt in doubts(run, self.load.mbit)
                ]
            except* (RuntimeError, OSError, trio.TooSlowError) as group:
                notes += [f"round {number + 1}: {problem!s}" for problem in leaves(group)]
                self.say(f"  {notes[-1]}")
        return Measured(runs, notes)

    def compared(self, subjects: Sequence[Subject]) -> Sequence[Subject]:
        """`subjects`, or against another checkout: our own, each with the other's beside it."""
        return subjects if self.other is None else beside(subjects, self.other)

    def able(self, subjects: Sequence[Subject]) -> tuple[list[Subject], list[str]]:
        """Those that can run here, and a note about each that cannot."""
        able, notes = [], []
        for subject in subjects:
            try:
                self.versions[subject.name] = subject.version()
                able.append(subject)
            except NotPossible as problem:
                self.versions[subject.name] = f"cannot run: {problem}"
                notes.append(f"{subject.name} cannot run: {problem}")
        return able, notes


def turns(subjects: Sequence[Subject], rounds: int) -> list[tuple[int, Subject]]:
    """Who is measured when. Backwards every second time, so that what grows with time favours nobody."""
    return [
        (number, subject)
        for number in range(rounds)
        for subject in (subjects if number % 2 == 0 else list(reversed(subjects)))
    ]


@frozen
class Row:
    """One line of the table of targets: how it is measured, and how its figures come from the runs."""

    name: str
    work: str
    against: str
    measure: Callable[[Bench], Awaitable[Measured]]
    checks: Sequence[tuple[Target, Callable[[Sequence[Run]], float | None]]]
    compared: Sequence[str]
    """The figures that are compared with those of another checkout; less is better."""

    async def run(self, bench: Bench) -> Result:
        """Measure it."""
        return self.result(await self.measure(bench))

    def result(self, measured: Measured) -> Result:
        """What the runs say."""
        checks = [Check(target, figure(measured.runs)) for target, figure in self.checks]
        return Result(self.name, self.work, self.against, checks, measured.runs, measured.notes)
