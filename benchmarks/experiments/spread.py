"""Does a second process pay? One server, beside an origin with an edge that shares its port: the same watchers on each.

    python -m benchmarks.experiments.spread [ROUNDS]

Prints Markdown tables: CPU per delivered MB of all processes together, how watchers and work are spread, latencies, and
what an edge costs for streams that nobody watches there.  The origin runs on one core; the edge shares the other with
the load, which it leaves enough room.
"""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import trio
from attrs import frozen

from benchmarks import load, machine, tables
from benchmarks.__main__ import CACHE
from benchmarks.children import child
from benchmarks.figures import percentile
from benchmarks.load import APP, KEY, Load
from benchmarks.machine import Cores
from benchmarks.measure import cpu
from benchmarks.subjects import free_ports
from benchmarks.window import check

CROWDS = (100, 1_000)
STREAMS = 20
"""Published at once where streams are carried to an edge and nobody watches them."""
SECONDS, WARM_UP = 8.0, 4.0
DRAIN_SECONDS = 2.0
"""For a process to come up, and for an edge to call the origin again: its first try may come too early."""


@frozen
class Layout:
    """Processes that serve one port together. `private` is where publishers and edges go, `shared` where players do."""

    pids: Sequence[int]
    private: int
    shared: int


def origin(private: int, shared: int) -> str:
    """Takes publishers, feeds edges, and serves players like them."""
    return (
        f"workflow origin {{\n    rtmp_receive rtmp_app={APP} stream_key=* port={private}\n"
        f"    rtmp_watch rtmp_app={APP} stream_key=* port={private}\n"
        f"    rtmp_watch rtmp_app={APP} stream_key=* port={shared}\n}}\n"
    )


def edge(private: int, shared: int, keys: Sequence[str]) -> str:
    """Plays streams of the origin, and serves them."""
    return "".join(
        f"workflow edge-{key} {{\n    rtmp_pull location=rtmp://127.0.0.1:{private}/{APP}/{key} stream_name={key}\n"
        f"    rtmp_watch rtmp_app={APP} stream_key={key} port={shared}\n}}\n"
        for key in keys
    )


@asynccontextmanager
async def layout(cores: Cores, keys: Sequence[str], *, with_edge: bool) -> AsyncIterator[Layout]:
    """Run an origin, and with it an edge for the streams of `keys`."""
    private, shared = free_ports(2)
    configurations = [(cores.server, origin(private, shared))]
    if with_edge:
        configurations.append((cores.load, edge(private, shared, keys)))
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pids = []
        for number, (core, text) in enumerate(configurations):
            file = directory / f"{number}.mmids"
            file.write_text(text, encoding="utf-8")
            worker = [sys.executable, "-m", "benchmarks.experiments.worker", str(file)]
            command = ["taskset", "--cpu-list", str(core), *worker]
            log = directory / f"{number}.log"
            process = await stack.enter_async_context(child(command, directory=machine.ROOT, log=log))
            await trio.sleep(DRAIN_SECONDS)
            if process.poll() is not None:
                raise RuntimeError(log.read_text("utf-8", errors="replace"))
            pids.append(process.pid)
        yield Layout(pids, private, shared)


def sockets_of(pid: int) -> int:
    """Open files of a process, of which all but a few are its connections."""
    return len(os.listdir(f"/proc/{pid}/fd"))


Figures = dict[str, float]


async def crowd(tools: Load, cores: Cores, watchers: int, *, with_edge: bool) -> Figures:
    """One publisher, and watchers on the shared port."""
    async with (
        layout(cores, [KEY], with_edge=with_edge) as servers,
        tools.publishing(servers.private, stamp=True),
    ):
        await trio.sleep(DRAIN_SECONDS)
        sockets = [sockets_of(pid) for pid in servers.pids]
        async with tools.watching(servers.shared, watchers, seconds=SECONDS, warm_up=WARM_UP) as watching:
            await watching.until_open()
            here = [sockets_of(pid) - before for pid, before in zip(servers.pids, sockets, strict=True)]
            before = [cpu(pid) for pid in servers.pids]
            seen = await watching.until_end()
            used = [cpu(pid).since(earlier) for pid, earlier in zip(servers.pids, before, strict=True)]
    check(seen, "the layout")
    if with_edge and not sum(here[1:]):
        raise RuntimeError("no watcher came to the edge")
    return {
        "CPU µs per MB": 1e6 * sum(used) / seen.megabytes,
        "CPU % of the origin": 100 * used[0] / seen.seconds,
        "CPU % of the edge": 100 * sum(used[1:]) / seen.seconds,
        "watchers at the edge": float(sum(here[1:])),
        "p50 ms": percentile(seen.latency, 0.5),
        "p99 ms": percentile(seen.latency, 0.99),
    }


async def carried(tools: Load, cores: Cores, *, with_edge: bool) -> Figures:
    """Several publishers, whose streams all go to the edge, where nobody watches."""
    keys = [f"{KEY}{number}" for number in range(STREAMS)]
    async with layout(cores, keys, with_edge=with_edge) as servers, tools.publishing(servers.private, count=STREAMS):
        await trio.sleep(WARM_UP)
        before = [cpu(pid) for pid in servers.pids]
        await trio.sleep(SECONDS)
        used = [cpu(pid).since(earlier) for pid, earlier in zip(servers.pids, before, strict=True)]
    percent = [100 * seconds / SECONDS / STREAMS for seconds in used]
    return {"CPU % of the origin, per stream": percent[0], "CPU % of the edge, per stream": sum(percent[1:])}


async def main(rounds: int) -> None:
    """Measure both layouts in turn, and print."""
    cores, tools = machine.choose_cores(), load.prepare(CACHE)
    described = machine.describe()
    machine.prepare_this_process(cores)
    crowds: dict[tuple[str, int], list[Figures]] = {}
    streams: dict[str, list[Figures]] = {}
    for _ in range(rounds):
        for name, with_edge in (("one process", False), ("origin and edge", True)):
            for watchers in CROWDS:
                figures = await crowd(tools, cores, watchers, with_edge=with_edge)
                crowds.setdefault((name, watchers), []).append(figures)
            streams.setdefault(name, []).append(await carried(tools, cores, with_edge=with_edge))
    print(f"{described.date}: {described.processor}, Python {described.python}, median of {rounds}.\n")
    _print("watchers", {f"{name} | {watchers:,}": runs for (name, watchers), runs in crowds.items()})
    _print("", streams)


def _print(second: str, measured: dict[str, list[Figures]]) -> None:
    names = list(next(iter(measured.values()))[0])
    heads = ["layout", *([second] if second else []), *names]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for label, runs in measured.items():
        cells = [tables.shown(median(run[name] for run in runs)) for name in names]
        print(f"| {label} | " + " | ".join(cells) + " |")
    print()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 3)
