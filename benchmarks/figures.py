"""What is measured, and what becomes of it: runs, ratios of runs that alternated, and whether a target is met. Pure."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from statistics import median

from attrs import frozen

Histogram = Sequence[tuple[float, int]]
"""Upper ends of intervals with how many fell into each, in rising order."""


@frozen
class Target:
    """The largest figure that is good enough. `tolerance` is what noise may add: 0.05 stands for 5 %."""

    what: str
    at_most: float
    unit: str
    tolerance: float = 0.0

    def is_met_by(self, figure: float) -> bool:
        """Whether `figure` is good enough."""
        return figure <= self.at_most * (1 + self.tolerance)


@frozen
class Run:
    """One measurement of one subject. Names of figures end with their unit (`cpu_us_per_mb`)."""

    subject: str
    round: int
    figures: Mapping[str, float]
    histogram: Histogram = ()
    """Of latencies, in milliseconds, where they were measured."""


@frozen
class Check:
    """One target, and what was measured: `None` for what could not be."""

    target: Target
    measured: float | None

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.measured is None:
            return "not measured"
        return "met" if self.target.is_met_by(self.measured) else "missed"


@frozen
class Result:
    """One row: its targets, every single run behind the figures, and notes on what could not be measured."""

    row: str
    work: str
    against: str
    checks: Sequence[Check]
    runs: Sequence[Run] = ()
    notes: Sequence[str] = ()


MOST_OTHERS, MOST_LOAD, LEAST_RATE = 10.0, 90.0, 0.95


def doubts(run: Run, mbit: float) -> list[str]:
    """Why a run should not be believed: a load at its limit, watchers who got too little.

    `mbit`: what each watcher should have got a second, in millions of bits.
    """
    figures = run.figures
    found = []
    if figures.get("load_percent", 0) > MOST_LOAD:
        found.append("the load had no time left")
    if figures.get("mbit_per_watcher", mbit) < LEAST_RATE * mbit:
        found.append(f"watchers got {figures['mbit_per_watcher']:.2f} of {mbit:.2f} Mbit/s")
    return found


def most_others(runs: Sequence[Run]) -> float | None:
    """Percent of the server's core that others used at worst, when that is too much to believe the figures."""
    most = max((run.figures.get("others_percent", 0.0) for run in runs), default=0.0)
    return most if most > MOST_OTHERS else None


def of(runs: Sequence[Run], subject: str, figure: str) -> list[float]:
    """That figure of all runs of a subject that have it, by round."""
    chosen = [run for run in runs if run.subject == subject and figure in run.figures]
    return [run.figures[figure] for run in sorted(chosen, key=lambda run: run.round)]


def median_of(runs: Sequence[Run], subject: str, figure: str) -> float | None:
    """The median of a figure over the rounds, `None` without any."""
    values = of(runs, subject, figure)
    return median(values) if values else None


def ratio_of(runs: Sequence[Run], subject: str, other: str, figure: str) -> float | None:
    """The median over the rounds of `subject`'s figure by that of `other` in the same round.

    What else the machine does changes from round to round and hits both alike, so the ratio holds where the figures
    themselves do not. `None` when there is no round that both have taken part in.
    """
    mine, others = _by_round(runs, subject, figure), _by_round(runs, other, figure)
    ratios = [mine[number] / others[number] for number in mine if others.get(number)]
    return median(ratios) if ratios else None


def difference_of(runs: Sequence[Run], subject: str, other: str, figure: str) -> float | None:
    """The median over the rounds of `subject`'s figure less that of `other` in the same round; as `ratio_of`."""
    mine, others = _by_round(runs, subject, figure), _by_round(runs, other, figure)
    differences = [mine[number] - others[number] for number in mine if number in others]
    return median(differences) if differences else None


def _by_round(runs: Sequence[Run], subject: str, figure: str) -> dict[int, float]:
    return {run.round: run.figures[figure] for run in runs if run.subject == subject and figure in run.figures}


def percentile(histogram: Histogram, part: float) -> float:
    """The upper end of the interval below which `part` (0.99) of what was counted lies; 0 when nothing was."""
    wanted, counted = part * sum(count for _, count in histogram), 0
    for end, count in histogram:
        counted += count
        if counted >= wanted and count:
            return end
    return 0.0


def percentile_of(values: Sequence[float], part: float) -> float:
    """The same of single values, in any order."""
    return percentile([(value, 1) for value in sorted(values)], part)


def coarse(histogram: Histogram) -> Histogram:
    """The same in fewer intervals: each end is rounded up to two digits, which is what a picture shows."""
    total: dict[float, int] = {}
    for end, count in histogram:
        step = 10.0 ** (floor(log10(end)) - 1)
        rounded = round(ceil(round(end / step, 6)) * step, 6)
        total[rounded] = total.get(rounded, 0) + count
    return tuple(total.items())


def summed(histograms: Sequence[Histogram]) -> Histogram:
    """All of them in one."""
    total: dict[float, int] = {}
    for histogram in histograms:
        for end, count in histogram:
            total[end] = total.get(end, 0) + count
    return sorted(total.items())
