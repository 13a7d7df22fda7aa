"""Clients that come and go: a crowd that comes at once, and one that changes all the time."""

from collections.abc import Sequence

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, ratio_of
from benchmarks.go_peers import LAL, MEDIAMTX, SRS_SERVER
from benchmarks.load import Crowd
from benchmarks.rows.small_streams import SETTLE_SECONDS
from benchmarks.subjects import OURS, Subject
from benchmarks.window import watch

JOINING = 500
"""Players that come within a second."""

PUBLISHERS, WATCHERS = 100, 1_000
PUBLISHERS_CHURN, WATCHERS_CHURN = 5.0, 45.0
"""That leave and come back in a second: 50 together."""

OPENING_RATE = 100
"""Watchers that come in a second before the window. All at once they are seconds of work for the servers that give each
its first pictures, and what has waited meanwhile would be counted as late: that is what `join` measures."""


async def _join(bench: Bench) -> Measured:
    count = bench.effort.scaled(JOINING)

    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp, stamp=True):
            await trio.sleep(SETTLE_SECONDS)
            return [await watch(bench, server, count, crowd=Crowd(rate=count))]

    return await bench.alternate([OURS, bench.nginx, bench.node, MEDIAMTX, LAL, SRS_SERVER], once)


async def _churn(bench: Bench) -> Measured:
    effort = bench.effort
    publishers, watchers = max(2, effort.scaled(PUBLISHERS)), effort.scaled(WATCHERS)
    shares = [watchers // publishers] * publishers
    crowd = Crowd(shares, rate=OPENING_RATE, churn=WATCHERS_CHURN * effort.scale)
    rate = PUBLISHERS_CHURN * effort.scale

    async def once(subject: Subject) -> Sequence[Run]:
        port = bench.load.publishing
        async with bench.run(subject) as server, port(server.ports.rtmp, count=publishers, stamp=True, churn=rate):
            await trio.sleep(SETTLE_SECONDS)
            return [await watch(bench, server, sum(crowd.shares), crowd=crowd)]

    return await bench.alternate([OURS, bench.nginx, MEDIAMTX, LAL, SRS_SERVER], once)


JOIN = Row(
    "join",
    "500 players that come within a second",
    "absolute",
    _join,
    [(Target("p99 to the first picture", 500, "ms"), lambda runs: median_of(runs, OURS.name, "picture_p99_ms"))],
    ("picture_p50_ms", "picture_p99_ms"),
)
CHURN = Row(
    "churn",
    "100 publishers and 1,000 watchers, 50 of them leave and come back each second",
    "MediaMTX",
    _churn,
    [
        (Target("CPU", 1.0, "x"), lambda runs: ratio_of(runs, OURS.name, MEDIAMTX.name, "cpu_percent")),
        (Target("p99 from sending to reading", 20, "ms"), lambda runs: median_of(runs, OURS.name, "latency_p99_ms")),
    ],
    ("cpu_percent", "latency_p99_ms", "picture_p99_ms"),
)
