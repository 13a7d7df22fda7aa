"""What is on the air: what it costs to meter streams, and how long others wait while somebody looks at all of them."""

import json
import sys
from collections.abc import Sequence

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, ratio_of
from benchmarks.rows.fan_out import measure_crowd
from benchmarks.rows.publishers import measure_publishers
from benchmarks.subjects import OURS, Ours, Subject

CROWD = 1_000
STREAMS = 200
UNMETERED = Ours(name="mmids_trio, nothing metered", settings=("load benchmarks.unmetered",))


async def _metering(bench: Bench) -> Measured:
    both = [OURS, UNMETERED]
    taken_in = await measure_publishers(bench, both)
    sent = await measure_crowd(bench, both, bench.effort.scaled(CROWD), encoder=True)
    return Measured([*taken_in.runs, *sent.runs], [*taken_in.notes, *sent.notes])


async def _slices(bench: Bench) -> Measured:
    async def once(subject: Subject) -> Sequence[Run]:
        counts = [str(bench.effort.scaled(number)) for number in (STREAMS, CROWD)]
        command = ["taskset", "--cpu-list", str(bench.cores.server), sys.executable, "-m", "benchmarks.slices", *counts]
        done = await trio.run_process(
            command, capture_stdout=True, cwd=subject.root if isinstance(subject, Ours) else None
        )
        return [Run(subject.name, 0, json.loads(done.stdout))]

    return await bench.alternate([OURS], once)


METERING = Row(
    "metering",
    "50 publishers without watchers, and 1 publisher with 1,000 watchers",
    "our own without meters",
    _metering,
    [
        (
            Target("CPU per publisher", 1.02, "x", 0.02),
            lambda runs: ratio_of(runs, OURS.name, UNMETERED.name, "cpu_percent_per_publisher"),
        ),
        (
            Target("CPU per delivered MB", 1.02, "x", 0.02),
            lambda runs: ratio_of(runs, OURS.name, UNMETERED.name, "cpu_us_per_mb"),
        ),
    ],
    ("cpu_percent_per_publisher", "cpu_us_per_mb"),
)
LOOKING_AT_MANY = Row(
    "slices",
    "`GET /streams` and `GET /clients` of 200 streams and 1,000 watchers, in memory",
    "absolute",
    _slices,
    [
        (
            Target("longest turn of an answer, on the processor", 5, "ms"),
            lambda runs: median_of(runs, OURS.name, "turn_max_ms"),
        )
    ],
    ("turn_max_ms", "answer_ms"),
)
