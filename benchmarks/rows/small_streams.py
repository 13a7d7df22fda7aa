"""Many streams with few watchers each, as most installations have them, and a mixture of all that there is."""

from collections.abc import Sequence

import trio
from attrs import evolve

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, ratio_of
from benchmarks.go_peers import LAL, MEDIAMTX, SRS_SERVER
from benchmarks.load import APP, KEY, Crowd
from benchmarks.subjects import OURS, Ours, Subject, running
from benchmarks.window import watch

STREAMS, EACH = 50, 2
MIXED_STREAMS, LARGEST, HLS_STREAMS = 20, 300, 5
SETTLE_SECONDS = 3.0
"""Until a stream that has begun can be played: MediaMTX takes so long."""

SINK = Ours(name="sink")
"""Takes what is pushed, on the core of the load."""


async def _small_streams(bench: Bench) -> Measured:
    streams = bench.effort.scaled(STREAMS)

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp, count=streams, stamp=True):
            await trio.sleep(SETTLE_SECONDS)
            return [await watch(bench, server, streams * EACH, crowd=Crowd([EACH] * streams))]

    return await bench.alternate([OURS, bench.nginx, bench.node, MEDIAMTX, LAL, SRS_SERVER], once)


def shares(streams: int, largest: int) -> list[int]:
    """Watchers of each stream: from 1 to `largest`, each stream so many times more than the one before."""
    return [round(largest ** (number / max(streams - 1, 1))) for number in range(streams)]


def mixed_workflow(sink: int, streams: int) -> str:
    """All streams to watchers and to a sink, and the first ones over HLS."""
    hls = "".join(
        f"    http_watch app={APP} stream_key={KEY}{number} formats=hls\n"
        for number in range(min(HLS_STREAMS, streams))
    )
    return (
        f"workflow mixed {{\n    rtmp_receive rtmp_app={APP} stream_key=*\n    rtmp_watch rtmp_app={APP} stream_key=*\n"
        f"    rtmp_push target=rtmp://127.0.0.1:{sink}/{APP}/\n{hls}}}\n"
    )


async def _mixed(bench: Bench) -> Measured:
    effort = bench.effort
    streams = max(2, effort.scaled(MIXED_STREAMS))
    crowd = shares(streams, effort.scaled(LARGEST))

    async def once(subject: Subject) -> Sequence[Run]:
        async with running(SINK, bench.cores.load) as sink:
            if isinstance(subject, Ours):
                subject = evolve(subject, workflows=mixed_workflow(sink.ports.rtmp, streams))
            async with (
                bench.run(subject) as server,
                bench.load.publishing(server.ports.rtmp, count=streams, stamp=True),
            ):
                await trio.sleep(SETTLE_SECONDS)
                return [await watch(bench, server, sum(crowd), crowd=Crowd(crowd))]

    return await bench.alternate([OURS, bench.nginx, MEDIAMTX, LAL, SRS_SERVER], once)


COMPARED = ("cpu_percent", "latency_p99_ms")
SMALL_STREAMS = Row(
    "small-streams",
    "50 publishers, two watchers each",
    "nginx-rtmp, MediaMTX, lal",
    _small_streams,
    [
        (Target("CPU, nginx-rtmp", 1.0, "x"), lambda runs: ratio_of(runs, OURS.name, "nginx-rtmp", "cpu_percent")),
        (Target("CPU, MediaMTX", 0.35, "x"), lambda runs: ratio_of(runs, OURS.name, MEDIAMTX.name, "cpu_percent")),
        (Target("CPU, lal", 0.7, "x"), lambda runs: ratio_of(runs, OURS.name, LAL.name, "cpu_percent")),
        (Target("p99 from sending to reading", 10, "ms"), lambda runs: median_of(runs, OURS.name, "latency_p99_ms")),
    ],
    COMPARED,
)
MIXED = Row(
    "mixed",
    "20 publishers, 1 to 300 watchers each; ours also pushes all and serves five over HLS",
    "MediaMTX",
    _mixed,
    [
        (Target("CPU", 1.0, "x"), lambda runs: ratio_of(runs, OURS.name, MEDIAMTX.name, "cpu_percent")),
        (Target("p99 from sending to reading", 20, "ms"), lambda runs: median_of(runs, OURS.name, "latency_p99_ms")),
    ],
    COMPARED,
)
