"""Starting: until a simple server accepts connections, and until 10,000 workflows run."""

import json
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection

import trio

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of
from benchmarks.measure import cpu, memory
from benchmarks.subjects import OURS, Ours, Server, Subject

WORKFLOWS = 10_000
STEPS = 3
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 120.0
BARE = "bare trio"


def many_workflows(count: int) -> str:
    """Workflows of three steps each, which share a port and nothing else."""
    return "".join(
        f"workflow w{number} {{\n"
        f"    rtmp_receive rtmp_app=in{number} stream_key=*\n"
        f"    rtmp_watch rtmp_app=in{number} stream_key=*\n"
        f"    rtmp_watch rtmp_app=out{number} stream_key=*\n}}\n"
        for number in range(count)
    )


async def _start_up(bench: Bench) -> Measured:
    async def once(subject: Subject) -> Sequence[Run]:
        async with bench.run(subject) as server:
            return [Run(subject.name, 0, {"start_seconds": server.started_after, "cpu_seconds": cpu(server.pid).ticks})]

    for subject in bench.compared([OURS]):
        async with bench.run(subject):
            pass  # the first start of a new checkout compiles its modules
    return await bench.alternate([OURS, bench.nginx, bench.node], once)


async def _many(bench: Bench) -> Measured:
    count = bench.effort.scaled(WORKFLOWS)

    async def once(subject: Subject) -> Sequence[Run]:
        begin = trio.current_time()
        async with bench.run(subject) as server:
            await _running(server, count - 1)
            took, held = trio.current_time() - begin, memory(server.pid)
            figures = {"start_seconds": took, "cpu_seconds": cpu(server.pid).ticks, "rss_gb": held.rss / 1e6}
            return [Run(subject.name, 0, figures), Run(BARE, 0, {"start_seconds": await _bare(bench, count)})]

    return await bench.alternate([Ours(workflows=many_workflows(count))], once)


async def _running(server: Server, last: int) -> None:
    """Wait until the last workflow has all its steps."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            if await trio.to_thread.run_sync(_has_all_steps, server.ports.api, f"/workflows/w{last}"):
                return
            await trio.sleep(POLL_SECONDS)


def _has_all_steps(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        workflow = json.loads(answer.read()) if answer.status == HTTPStatus.OK else {"active_steps": []}
    except OSError:
        return False
    finally:
        connection.close()
    return [step["status"] for step in workflow["active_steps"]] == ["Active"] * STEPS


async def _bare(bench: Bench, count: int) -> float:
    """Seconds that trio alone takes for as many nurseries and tasks, in a process of its own."""
    command = ["taskset", "--cpu-list", str(bench.cores.server), sys.executable, "-m", "benchmarks.bare", str(count)]
    done = await trio.run_process(command, capture_stdout=True)
    return float(done.stdout)


START_UP = Row(
    "start-up",
    "`python -m mmids_trio` to accepting connections, simple configuration",
    "absolute",
    _start_up,
    [(Target("seconds", 0.35, "s"), lambda runs: median_of(runs, OURS.name, "start_seconds"))],
    ("start_seconds",),
)
MANY_WORKFLOWS = Row(
    "workflows",
    "10,000 workflows of 3 steps loaded at start",
    "absolute",
    _many,
    [
        (Target("until the last runs", 15, "s"), lambda runs: median_of(runs, OURS.name, "start_seconds")),
        (Target("memory (RSS)", 1.5, "GB"), lambda runs: median_of(runs, OURS.name, "rss_gb")),
        (
            Target("nurseries and tasks alone, without the server", 5, "s"),
            lambda runs: median_of(runs, BARE, "start_seconds"),
        ),
    ],
    ("start_seconds", "rss_gb"),
)
