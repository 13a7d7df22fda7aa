"""Fifty publishers without watchers: what taking a stream in costs."""

from collections.abc import Sequence

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, ratio_of
from benchmarks.measure import cpu, memory
from benchmarks.subjects import OURS, Subject

PUBLISHERS = 50
MARGIN_SECONDS = 1.0
"""By which the load lasts longer than the window."""


async def measure_publishers(bench: Bench, subjects: Sequence[Subject]) -> Measured:
    """Each subject with fifty of them."""
    effort, count = bench.effort, bench.effort.scaled(PUBLISHERS)
    seconds = effort.warm_up + effort.seconds + MARGIN_SECONDS

    async def once(subject: Subject) -> Sequence[Run]:
        async with (
            bench.run(subject) as server,
            bench.load.publishing(server.ports.rtmp, count=count, seconds=seconds) as events,
        ):
            await trio.sleep(effort.warm_up)
            before, begin = cpu(server.pid), trio.current_time()
            await trio.sleep(effort.seconds)
            used, took = cpu(server.pid).since(before), trio.current_time() - begin
            held = memory(server.pid)
            end = await events.wait_for("end", effort.seconds + MARGIN_SECONDS + 10)
        if end["closed"]:
            raise RuntimeError(f"{subject.name}: {end['closed']} of {count} publishers were disconnected")
        figures = {
            "publishers": count,
            "cpu_percent_per_publisher": 100 * used / took / count,
            "mbit_per_publisher": end["bytes"] * 8e-6 / end["seconds"] / count,
            "rss_mb": held.rss / 1000,
        }
        return [Run(subject.name, 0, figures)]

    return await bench.alternate(subjects, once)


async def _measure(bench: Bench) -> Measured:
    return await measure_publishers(bench, [OURS, bench.node, bench.nginx])


INGEST = Row(
    "publishers",
    "50 publishers, no watchers, receive and watch step",
    "Node-Media-Server 4",
    _measure,
    [
        (
            Target("CPU per publisher", 1.0, "x"),
            lambda runs: ratio_of(runs, OURS.name, "Node-Media-Server", "cpu_percent_per_publisher"),
        )
    ],
    ("cpu_percent_per_publisher",),
)
