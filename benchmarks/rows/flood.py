"""A publisher that floods beside a stream that is watched: what that stream and the HTTP API notice of it."""

from collections.abc import Sequence
from functools import partial

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, percentile_of
from benchmarks.requests import ask_again_and_again
from benchmarks.rows.api import MARGIN_SECONDS, READ_PAUSE, reads
from benchmarks.subjects import OURS, Subject
from benchmarks.window import watch

CROWD = 100
MBIT = 500.0


async def _measure(bench: Bench) -> Measured:
    effort = bench.effort
    crowd, mbit = effort.scaled(CROWD), MBIT * effort.scale
    lasts = 2 * effort.warm_up + effort.seconds + MARGIN_SECONDS

    async def once(subject: Subject) -> Sequence[Run]:
        answered: list[float] = []
        async with (
            bench.run(subject) as server,
            bench.load.publishing(server.ports.rtmp, stamp=True),
            bench.load.flooding(server.ports.rtmp, mbit=mbit, seconds=lasts) as flood,
        ):
            asked = max(effort.seconds - MARGIN_SECONDS, MARGIN_SECONDS)
            ask = partial(ask_again_and_again, server.ports.api, reads(server.ports), READ_PAUSE, asked, answered)
            run = await watch(bench, server, crowd, meanwhile=ask)
            end = await flood.wait_for("end", lasts)
        figures = {
            "flood_mbit": end["bytes"] * 8e-6 / end["seconds"],
            "answer_p50_ms": percentile_of(answered, 0.5),
            "answer_p99_ms": percentile_of(answered, 0.99),
            "answer_max_ms": max(answered),
        }
        return [Run(run.subject, 0, dict(run.figures) | figures, run.histogram)]

    return await bench.alternate([OURS], once)


FLOOD = Row(
    "flood",
    "1 publisher of 500 Mbit/s in chunks of 128 bytes, beside a stream with 100 watchers",
    "absolute",
    _measure,
    [
        (
            Target("p99 of the other stream from sending to reading", 10, "ms"),
            lambda runs: median_of(runs, OURS.name, "latency_p99_ms"),
        ),
        (Target("p99 of `GET /workflows`", 50, "ms"), lambda runs: median_of(runs, OURS.name, "answer_p99_ms")),
    ],
    ("latency_p99_ms", "answer_p99_ms"),
)
