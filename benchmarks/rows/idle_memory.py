"""Watchers of a key that nobody publishes: what a connection that only waits costs in memory."""

from collections.abc import Sequence

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of
from benchmarks.measure import memory
from benchmarks.subjects import OURS, Subject

WATCHERS = 1_000
FIRST = 50
"""Watchers that come before the first look, so that what is made once for all is not counted."""
SECONDS = 1.0


async def _measure(bench: Bench) -> Measured:
    count, first = bench.effort.scaled(WATCHERS), bench.effort.scaled(FIRST)

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server:
            port, warm_up = server.ports.rtmp, bench.effort.warm_up
            async with bench.load.watching(port, first, seconds=1_000, warm_up=warm_up / 2) as few:
                await few.until_open()
                before = memory(server.pid)
                async with bench.load.watching(port, count, seconds=SECONDS, warm_up=warm_up) as many:
                    await many.until_open()
                    after = memory(server.pid)
                    seen = await many.until_end()
        if seen.alive < count:
            raise RuntimeError(f"{subject.name}: {count - seen.alive} of {count} idle watchers were disconnected")
        figures = {"watchers": count, "kb_per_idle_watcher": (after.pss - before.pss) / count}
        return [Run(subject.name, 0, figures | {"rss_mb": after.rss / 1000})]

    return await bench.alternate([OURS, bench.nginx, bench.node], once)


IDLE_MEMORY = Row(
    "idle-memory",
    "memory of an idle watcher",
    "absolute",
    _measure,
    [(Target("memory per idle watcher", 20, "kB"), lambda runs: median_of(runs, OURS.name, "kb_per_idle_watcher"))],
    ("kb_per_idle_watcher",),
)
