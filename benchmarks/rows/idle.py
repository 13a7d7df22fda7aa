"""A server at rest: what it costs while nobody publishes and nobody watches."""

from collections.abc import Sequence

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of
from benchmarks.measure import cpu, memory
from benchmarks.subjects import OURS, Ours, Subject

WORKFLOWS = 100
LEAST_REST = 5.0
"""Seconds, also of a quick run: what follows on the start is over, and a timer of a second shows."""


def resting_workflows(count: int) -> str:
    """Workflows that wait for a publisher each."""
    return "".join(
        f"workflow w{number} {{\n"
        f"    rtmp_receive rtmp_app=app{number} stream_key=*\n"
        f"    rtmp_watch rtmp_app=app{number} stream_key=*\n}}\n"
        for number in range(count)
    )


async def _measure(bench: Bench) -> Measured:
    seconds = max(bench.effort.seconds, LEAST_REST)

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server:
            await trio.sleep(LEAST_REST)
            before, begin = cpu(server.pid), trio.current_time()
            await trio.sleep(seconds)
            used, took = cpu(server.pid).since(before), trio.current_time() - begin
            held = memory(server.pid)
        return [Run(subject.name, 0, {"cpu_percent": 100 * used / took, "rss_mb": held.rss / 1000})]

    ours = Ours(workflows=resting_workflows(bench.effort.scaled(WORKFLOWS)))
    return await bench.alternate([ours, bench.nginx, bench.node], once)


IDLE = Row(
    "idle",
    "100 workflows at rest",
    "absolute",
    _measure,
    [
        (Target("CPU of a core", 0.3, "%"), lambda runs: median_of(runs, OURS.name, "cpu_percent")),
        (Target("memory (RSS)", 60, "MB"), lambda runs: median_of(runs, OURS.name, "rss_mb")),
    ],
    ("cpu_percent", "rss_mb"),
)
