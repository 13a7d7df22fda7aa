"""The HTTP API while the one core is busy with watchers: how long a read takes, and what an update does to watchers."""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, percentile_of, ratio_of
from benchmarks.load import APP
from benchmarks.requests import Request, ask_again_and_again
from benchmarks.subjects import OURS, Ours, Ports, Subject, on_port
from benchmarks.window import watch

READERS_CROWD = 1_000
LOOK_PAUSE = 1 / 3
"""Of three requests: one look a second."""

READ_PAUSE = 0.02
"""Seconds between one request's answer and the next request."""

STEPS = 50
UPDATES_CROWD = 500
UPDATE_PAUSE = 0.25
MARGIN_SECONDS = 0.5
"""By which requests end before the watchers' window."""


def workflow_of(watch_steps: Sequence[int]) -> str:
    """A receive step and one watch step for each number, with `live0` as application of the first, and so on."""
    steps = [f"    rtmp_watch rtmp_app=live{number} stream_key=*\n" for number in watch_steps]
    return "workflow many {\n    rtmp_receive rtmp_app=live stream_key=*\n" + "".join(steps) + "}\n"


IN_ORDER = list(range(STEPS - 1))
SWAPPED = [1, 0, *IN_ORDER[2:]]
LAST_APP = f"live{STEPS - 2}"
NOBODY_LOOKS = Ours(name="mmids_trio, nobody looks")
MANY_STEPS = Ours(workflows=workflow_of(IN_ORDER))


def reads(_ports: Ports) -> list[Request]:
    """What is read."""
    return [Request("GET", "/workflows")]


def looks(_ports: Ports) -> list[Request]:
    """What one look of `top` asks for."""
    return [Request("GET", path) for path in ("/streams?limit=1000", "/clients?limit=1000", "/metrics")]


def updates(ports: Ports) -> list[Request]:
    """Three updates that keep every step: nothing to do, two steps that change places, and back again."""
    orders = (IN_ORDER, SWAPPED, IN_ORDER)
    return [Request("PUT", "/workflows?wait=10", on_port(workflow_of(order), ports.rtmp)) for order in orders]


async def _measure(
    bench: Bench,
    measured: Ours,
    watchers: int,
    *,
    app: str,
    requests: Callable[[Ports], list[Request]],
    pause: float,
    beside: Sequence[Ours] = (),
) -> Measured:
    """`beside`: those that nobody asks anything."""

    async def once(subject: Subject) -> Sequence[Run]:
        answered: list[float] = []
        async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp):
            if any(subject.name.startswith(quiet.name) for quiet in beside):
                return [await watch(bench, server, watchers, app=app)]
            seconds = max(bench.effort.seconds - MARGIN_SECONDS, MARGIN_SECONDS)
            ask = partial(ask_again_and_again, server.ports.api, requests(server.ports), pause, seconds, answered)
            run = await watch(bench, server, watchers, app=app, meanwhile=ask)
        figures = {
            "answer_p50_ms": percentile_of(answered, 0.5),
            "answer_p99_ms": percentile_of(answered, 0.99),
            "answer_max_ms": max(answered),
            "answers": float(len(answered)),
        }
        return [Run(run.subject, 0, dict(run.figures) | figures)]

    return await bench.alternate([measured, *beside], once)


async def _reading(bench: Bench) -> Measured:
    crowd = bench.effort.scaled(READERS_CROWD)
    return await _measure(bench, OURS, crowd, app=APP, requests=reads, pause=READ_PAUSE)


async def _looking(bench: Bench) -> Measured:
    crowd = bench.effort.scaled(READERS_CROWD)
    return await _measure(bench, OURS, crowd, app=APP, requests=looks, pause=LOOK_PAUSE, beside=[NOBODY_LOOKS])


async def _updating(bench: Bench) -> Measured:
    crowd = bench.effort.scaled(UPDATES_CROWD)
    return await _measure(bench, MANY_STEPS, crowd, app=LAST_APP, requests=updates, pause=UPDATE_PAUSE)


READING = Row(
    "api",
    "`GET /workflows` while 1,000 watchers are served from one core",
    "absolute",
    _reading,
    [(Target("p99 of the answers", 50, "ms"), lambda runs: median_of(runs, OURS.name, "answer_p99_ms"))],
    ("answer_p50_ms", "answer_p99_ms", "cpu_us_per_mb"),
)
LOOKING = Row(
    "top",
    "`top` at 1 Hz (`GET /streams`, `/clients`, `/metrics`) while 1,000 watchers are served from one core",
    "absolute",
    _looking,
    [
        (Target("longest gap of any watcher", 100, "ms"), lambda runs: median_of(runs, OURS.name, "longest_gap_ms")),
        (
            Target("CPU, by that of a server at which nobody looks", 1.5, "x"),
            lambda runs: ratio_of(runs, OURS.name, NOBODY_LOOKS.name, "cpu_us_per_mb"),
        ),
    ],
    ("answer_p50_ms", "answer_max_ms", "longest_gap_ms", "cpu_us_per_mb"),
)
UPDATING = Row(
    "update",
    "`PUT` that keeps all of 50 steps, 500 watchers",
    "absolute",
    _updating,
    [
        (Target("slowest answer", 20, "ms"), lambda runs: median_of(runs, OURS.name, "answer_max_ms")),
        (Target("longest gap of any watcher", 100, "ms"), lambda runs: median_of(runs, OURS.name, "longest_gap_ms")),
    ],
    ("answer_p50_ms", "answer_max_ms", "longest_gap_ms", "cpu_us_per_mb"),
)
