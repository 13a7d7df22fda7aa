"""One publisher and an audience that grows from 1 to 2,000, on one server that goes on running."""

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, ratio_of
from benchmarks.subjects import OURS, Subject
from benchmarks.window import watch

SIZES = (1, 10, 100, 500, 1_000, 2_000)
NOISE = 0.05


async def _measure(bench: Bench) -> Measured:
    sizes = sorted({bench.effort.scaled(size) for size in SIZES})

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server, bench.load.encoder(server.ports.rtmp):
            return [await watch(bench, server, size) for size in sizes]

    return await bench.alternate([OURS, bench.nginx], once)


def steepest_rise(runs: Sequence[Run]) -> float | None:
    """The largest ratio of CPU per MB between one size of our audience and the next smaller one."""
    ours = [run for run in runs if run.subject == OURS.name]
    sizes = sorted({run.figures["watchers"] for run in ours})
    ratios = [_ratio(ours, size, smaller) for smaller, size in pairwise(sizes)]
    return max((ratio for ratio in ratios if ratio is not None), default=None)


def _ratio(ours: Sequence[Run], size: float, smaller: float) -> float | None:
    """Of sizes as if they were two subjects, so that the rounds are compared one by one."""
    renamed = [Run(str(run.figures["watchers"]), run.round, run.figures) for run in ours]
    return ratio_of(renamed, str(size), str(smaller), "cpu_us_per_mb")


AUDIENCE = Row(
    "audience",
    "1 publisher, 1 to 2,000 watchers",
    "itself with fewer",
    _measure,
    [(Target("steepest rise of CPU per MB from one size to the next", 1.0, "x", NOISE), steepest_rise)],
    ("cpu_us_per_mb",),
)
