"""Whether something only grows: a slope that outliers do not move, and what growth is allowed.  Pure arithmetic.

Traffic comes and goes, so single samples say little.  The slope of Theil and Sen is the median of the slopes of all
pairs: up to 29 % of the samples may be anything without moving it far.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median

from attrs import frozen

from benchmarks.soak.samples import Sample

WARM_UP = 0.25
"""Part of a run that does not count: caches fill, the allocator finds its size, every kind of step has run once."""

MOST_POINTS = 300
"""Samples that a slope is made of, evenly spread over more than that: the pairs grow with the square."""

SHORTEST_SECONDS = 300.0
"""Of samples; in less than that traffic has hardly begun, and a slope says nothing."""

ZOMBIE_SECONDS = 30.0
"""A child that has ended is awaited within this time; the server promises a few seconds."""

Points = Sequence[tuple[float, float]]


@frozen
class Limit:
    """How much `figure` may grow from the end of the warm-up to the end of the run.

    The larger of both counts: `least`, in the figure's unit, and `part` of its median.  `rest_least` and the same part
    bound the difference of two moments without traffic, at the beginning and at the end.
    """

    figure: str
    unit: str
    least: float
    part: float
    rest_least: float


LIMITS = (
    Limit("pss_mb", "MB", least=6.0, part=0.08, rest_least=20.0),
    Limit("files", "", least=6, part=0.10, rest_least=2),
    Limit("threads", "", least=3, part=0.10, rest_least=4),
    Limit("tasks", "", least=10, part=0.10, rest_least=3),
    Limit("children", "", least=3, part=0.15, rest_least=0),
)
"""Traffic is random, so a slope is never exactly 0: of files and tasks, a watcher or two more in the second half.  A
leak of one file or task a minute is found in half an hour, one of 12 MB an hour as well.  At rest nothing may be left,
but for trio's cached threads (which end when idle for 10 s), an API connection, and memory that the allocator keeps."""


@frozen
class Verdict:
    """What became of one figure, and whether that is fine."""

    what: str
    found: float
    allowed: float
    unit: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether it stayed within what is allowed."""
        return self.found <= self.allowed

    def __str__(self) -> str:
        word = "ok" if self.is_fine else "FAILED"
        return f"{word}: {self.what}: {self.found:+.2f} {self.unit}".rstrip() + f", at most {self.allowed:.2f}"


def slope(points: Points) -> float:
    """The median slope of all pairs; 0 when there are none."""
    step = -(-len(points) // MOST_POINTS)
    pairs = combinations(points[:: max(step, 1)], 2)
    slopes = [(late - early) / (end - begin) for (begin, early), (end, late) in pairs if end > begin]
    return median(slopes) if slopes else 0.0


def growth(samples: Sequence[Sample], figure: str) -> float:
    """By how much `figure` grew over `samples`, by the slope."""
    points = [(sample.seconds, float(getattr(sample, figure))) for sample in samples]
    return slope(points) * (samples[-1].seconds - samples[0].seconds)


def trends(samples: Sequence[Sample]) -> list[Verdict]:
    """One verdict for each figure that may only come and go; `samples` are those after the warm-up.

    None from samples that cover less than `SHORTEST_SECONDS`.
    """
    if not samples or samples[-1].seconds - samples[0].seconds < SHORTEST_SECONDS:
        return []
    verdicts = []
    for limit in LIMITS:
        usual = median(float(getattr(sample, limit.figure)) for sample in samples)
        allowed = max(limit.least, limit.part * usual)
        verdicts.append(Verdict(f"trend of {limit.figure}", growth(samples, limit.figure), allowed, limit.unit))
    return verdicts


def rests(before: Sample, after: Sample) -> list[Verdict]:
    """Whether what traffic took was given back."""
    return [
        Verdict(
            f"{limit.figure} left at rest",
            float(getattr(after, limit.figure)) - float(getattr(before, limit.figure)),
            max(limit.rest_least, limit.part * float(getattr(before, limit.figure))),
            limit.unit,
        )
        for limit in LIMITS
    ]


def zombies(samples: Sequence[Sample]) -> Verdict:
    """Whether children that have ended were awaited in time; of all samples."""
    return Verdict("longest life of a zombie", longest_zombie(samples), ZOMBIE_SECONDS, "s")


def longest_zombie(samples: Sequence[Sample]) -> float:
    """Seconds from the first to the last of successive samples with the same zombie."""
    since: dict[int, float] = {}
    longest = 0.0
    for sample in samples:
        since = {pid: since.get(pid, sample.seconds) for pid in sample.zombies}
        longest = max([longest, *(sample.seconds - begin for begin in since.values())])
    return longest
