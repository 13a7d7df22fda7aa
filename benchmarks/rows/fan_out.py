"""One publisher and a crowd of watchers: what a delivered megabyte costs, and how long a frame is on the way."""

from collections.abc import Sequence

from benchmarks.bench import NGINX_AT_ONCE, Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, ratio_of
from benchmarks.subjects import OURS, THROUGHPUT, Subject
from benchmarks.window import watch

CROWD = 1_000
LATENCY_CROWD = 100


async def measure_crowd(bench: Bench, subjects: Sequence[Subject], watchers: int, *, stamp: bool = False) -> Measured:
    """Each subject with one publisher and so many watchers."""

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp, stamp=stamp):
            return [await watch(bench, server, watchers)]

    return await bench.alternate(subjects, once)


async def _fan_out(bench: Bench) -> Measured:
    subjects: list[Subject] = [OURS, bench.nginx, bench.nginx_at_once, bench.node]
    return await measure_crowd(bench, subjects, bench.effort.scaled(CROWD), stamp=True)


async def _throughput(bench: Bench) -> Measured:
    able, notes = bench.able([THROUGHPUT])
    if not able:
        return Measured([], notes)
    return await measure_crowd(bench, [OURS, THROUGHPUT], bench.effort.scaled(CROWD), stamp=True)


async def _latency(bench: Bench) -> Measured:
    subjects: list[Subject] = [OURS, bench.nginx, bench.nginx_at_once, bench.node]
    return await measure_crowd(bench, subjects, bench.effort.scaled(LATENCY_CROWD), stamp=True)


FAN_OUT = Row(
    "fan-out",
    "1 publisher, 1,000 watchers, lowest latency",
    "nginx-rtmp",
    _fan_out,
    [
        (
            Target("CPU per delivered MB", 0.65, "x"),
            lambda runs: ratio_of(runs, OURS.name, "nginx-rtmp", "cpu_us_per_mb"),
        ),
        (
            Target("the same, nginx-rtmp sending at once as we do", 0.65, "x"),
            lambda runs: ratio_of(runs, OURS.name, NGINX_AT_ONCE, "cpu_us_per_mb"),
        ),
    ],
)
THROUGHPUT_SETTING = Row(
    "throughput",
    "the same, passes at least 200 ms apart",
    "our lowest latency",
    _throughput,
    [
        (
            Target("CPU per delivered MB", 0.40, "x"),
            lambda runs: ratio_of(runs, THROUGHPUT.name, OURS.name, "cpu_us_per_mb"),
        )
    ],
)
LATENCY = Row(
    "latency",
    "publisher to 100 watchers, lowest latency",
    "absolute",
    _latency,
    [(Target("p99 from sending to reading", 10, "ms"), lambda runs: median_of(runs, OURS.name, "latency_p99_ms"))],
)
