"""One window: some watchers of a running server, what they got, and what the server used meanwhile."""

from collections.abc import Awaitable, Callable

import trio

from benchmarks.bench import Bench
from benchmarks.figures import Run, coarse, percentile, percentile_of
from benchmarks.load import APP, ONE_KEY, Crowd, Watched
from benchmarks.measure import Cpu, busy, cpu, memory
from benchmarks.subjects import Server

MICROSECONDS = 1e6


async def _nothing() -> None:
    pass


async def watch(
    bench: Bench,
    server: Server,
    watchers: int,
    *,
    app: str = APP,
    flv: bool = False,
    crowd: Crowd = ONE_KEY,
    meanwhile: Callable[[], Awaitable[None]] = _nothing,
) -> Run:
    """Count for one window, in which `meanwhile` is done. `flv`: they watch over HTTP-FLV.

    Raises `RuntimeError` when watchers were lost or got nothing: no figure would hold; a group when `meanwhile` fails.
    """
    effort = bench.effort
    async with bench.load.watching(
        server.ports.media if flv else server.ports.rtmp,
        watchers,
        seconds=effort.seconds,
        warm_up=effort.warm_up,
        app=app,
        flv=flv,
        crowd=crowd,
    ) as watching:
        await watching.until_open()
        before, load_before, busy_before = cpu(server.pid), cpu(watching.pid), busy(bench.cores.server)
        done: list[tuple[Watched, Cpu, Cpu, float]] = []

        async def until_end() -> None:
            seen = await watching.until_end()
            done.append((seen, cpu(server.pid), cpu(watching.pid), busy(bench.cores.server)))

        await _both(until_end, meanwhile)
        held = memory(server.pid)
    [(seen, after, load_after, busy_after)] = done
    if not crowd.churn:  # who comes and goes may have been away
        check(seen, server.subject.name)
    used = after.since(before)
    figures = {
        "watchers": watchers,
        "cpu_us_per_mb": used * MICROSECONDS / seen.megabytes,
        "cpu_percent": 100 * used / seen.seconds,
        "mbit_per_watcher": 8 * seen.megabytes / seen.seconds / watchers,
        "least_to_mean": seen.least_bytes * watchers / seen.bytes,
        "longest_gap_ms": seen.longest_gap_ms,
        "load_percent": 100 * load_after.since(load_before) / seen.seconds,
        "others_percent": 100 * max(busy_after - busy_before - used, 0) / seen.seconds,
        "rss_mb": held.rss / 1000,
        "pss_mb": held.pss / 1000,
    }
    return Run(server.subject.name, 0, figures | latencies(seen) | first_pictures(seen), coarse(seen.latency))


async def _both(one: Callable[[], Awaitable[None]], other: Callable[[], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(other)


def latencies(seen: Watched) -> dict[str, float]:
    """Percentiles, in milliseconds, of frames that carried a stamp; nothing where none did."""
    if not seen.latency:
        return {}
    parts = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99, "latency_p999_ms": 0.999}
    return {name: percentile(seen.latency, part) for name, part in parts.items()} | {
        "latency_max_ms": seen.latency_max_ms
    }


def first_pictures(seen: Watched) -> dict[str, float]:
    """Percentiles, in milliseconds, from coming to the first key frame; nothing where no frame carried a stamp."""
    if not seen.first_pictures_ms:
        return {}
    return {
        "picture_p50_ms": percentile_of(seen.first_pictures_ms, 0.5),
        "picture_p99_ms": percentile_of(seen.first_pictures_ms, 0.99),
        "picture_max_ms": max(seen.first_pictures_ms),
    }


def check(seen: Watched, subject: str) -> None:
    """Raise `RuntimeError` unless all watchers were served."""
    if seen.alive < seen.watchers or seen.silent:
        raise RuntimeError(
            f"{subject}: of {seen.watchers} watchers {seen.watchers - seen.alive} were disconnected, "
            f"and {seen.silent} got nothing"
        )
