"""Publishers without watchers: what taking a stream in costs."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, ratio_of
from benchmarks.go_peers import LAL, MEDIAMTX, SRS_SERVER
from benchmarks.measure import cpu, memory
from benchmarks.subjects import OURS, Server, Subject

PUBLISHERS = 50
WEBCAMS = 500
MARGIN_SECONDS = 1.0
"""By which the load lasts longer than the window."""


async def _nothing(_server: Server) -> None:
    pass


async def measure_publishers(
    bench: Bench,
    subjects: Sequence[Subject],
    publishers: int = PUBLISHERS,
    footage: Path | None = None,
    *,
    least_seconds: float = 0.0,
    meanwhile: Callable[[Server], Awaitable[None]] = _nothing,
) -> Measured:
    """Each subject with so many of them.

    A window is `least_seconds` long at least; `meanwhile` is done in it, and cancelled at its end.
    """
    effort, count = bench.effort, bench.effort.scaled(publishers)
    window = max(effort.seconds, least_seconds)
    seconds = effort.warm_up + window + MARGIN_SECONDS

    async def once(subject: Subject) -> Sequence[Run]:
        async with (
            bench.run(subject) as server,
            bench.load.publishing(server.ports.rtmp, count=count, seconds=seconds, footage=footage) as events,
        ):
            await trio.sleep(effort.warm_up)
            async with trio.open_nursery() as beside:
                before, begin = cpu(server.pid), trio.current_time()
                beside.start_soon(meanwhile, server)
                await trio.sleep(window)
                used, took = cpu(server.pid).since(before), trio.current_time() - begin
                beside.cancel_scope.cancel()
            held = memory(server.pid)
            end = await events.wait_for("end", window + MARGIN_SECONDS + 10)
        if end["closed"]:
            raise RuntimeError(f"{subject.name}: {end['closed']} of {count} publishers were disconnected")
        figures = {
            "publishers": count,
            "cpu_percent": 100 * used / took,
            "cpu_percent_per_publisher": 100 * used / took / count,
            "mbit_per_publisher": end["bytes"] * 8e-6 / end["seconds"] / count,
            "rss_mb": held.rss / 1000,
        }
        return [Run(subject.name, 0, figures)]

    return await bench.alternate(subjects, once)


async def _measure(bench: Bench) -> Measured:
    return await measure_publishers(bench, [OURS, bench.node, bench.nginx, MEDIAMTX, LAL, SRS_SERVER])


async def _webcams(bench: Bench) -> Measured:
    subjects: list[Subject] = [OURS, bench.nginx, MEDIAMTX, LAL, SRS_SERVER]
    return await measure_publishers(bench, subjects, WEBCAMS, bench.load.webcam)


def _ratio(other: str) -> Callable[[Sequence[Run]], float | None]:
    return lambda runs: ratio_of(runs, OURS.name, other, "cpu_percent_per_publisher")


INGEST = Row(
    "publishers",
    "50 publishers, no watchers, receive and watch step",
    "Node-Media-Server 4, nginx-rtmp, MediaMTX",
    _measure,
    [
        (Target("CPU per publisher, Node-Media-Server", 1.0, "x"), _ratio("Node-Media-Server")),
        (Target("CPU per publisher, nginx-rtmp", 2.0, "x"), _ratio("nginx-rtmp")),
        (Target("CPU per publisher, MediaMTX", 0.6, "x"), _ratio(MEDIAMTX.name)),
    ],
    ("cpu_percent_per_publisher",),
)
WEBCAMS_ROW = Row(
    "webcams",
    "500 publishers of 300 kbit/s at 15 frames a second, no watchers",
    "MediaMTX",
    _webcams,
    [(Target("CPU per publisher", 1.0, "x"), _ratio(MEDIAMTX.name))],
    ("cpu_percent_per_publisher",),
)
