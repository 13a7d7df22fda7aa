"""Viewers over HTTP: what a request costs beside nginx with files of the same size, and how late a part comes."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from http.client import HTTPConnection

import trio
from attrs import define, evolve, field

from benchmarks.bench import Bench, Measured, Row
from benchmarks.figures import Run, Target, coarse, median_of, ratio_of
from benchmarks.go_peers import MEDIAMTX_HLS
from benchmarks.load import APP, KEY, Watching
from benchmarks.measure import busy, cpu, memory
from benchmarks.subjects import HLS, OURS, NginxFiles, Ours, Server, Subject
from benchmarks.window import MICROSECONDS, check, latencies
from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind
from mmids_trio.media.fmp4.fragmenter import Fragmenter
from mmids_trio.testing.media import generate_stream

VIEWERS, LATENCY_VIEWERS, SEGMENT_VIEWERS = 500, 300, 1_000
PART_MS, SEGMENT_MS = 200, 2_000
"""From one request for a part, or a segment, to the next."""

PART, PLAYLIST, SEGMENT = "part.m4s", "media.m3u8", "segment.m4s"
USUAL = {PART: 66_000, PLAYLIST: 2_500, SEGMENT: 660_000}
"""Bytes of nginx's files, where ours have not been seen before."""

BEGIN_SECONDS = 30.0
"""In which the first segments must be there."""

MEDIAMTX_INDEX = "index.m3u8?cookieCheck=1"
"""So it puts the session into each address, as this server does, where a client without cookies would be sent on."""

MEDIAMTX_BEGINS = 16.0
"""Seconds after which it has the seven segments of a playlist."""

PACKET_SECONDS = 120
"""Of the stream whose packets are put into fragments."""


@define(eq=False)
class Files:
    """How large the files are that our server has handed out; nginx gets such."""

    sizes: dict[str, int] = field(factory=lambda: dict(USUAL))

    def learn(self, port: int) -> str:
        """Look at what there is; returns the path of a segment. Raises `RuntimeError` where nothing comes."""
        end = time.monotonic() + BEGIN_SECONDS
        while time.monotonic() < end:
            found = self._look(port)
            if found is not None:
                return found
            time.sleep(0.2)  # nothing tells of a segment that another process has; in a thread of its own
        raise RuntimeError(f"there were no segments within {BEGIN_SECONDS:.0f} s")

    def _look(self, port: int) -> str | None:
        base = f"/{APP}/{KEY}/"
        first = _get(port, f"{base}index.m3u8").decode()
        if "session=" not in first:
            return None
        text = _get(port, base + first.split()[-1]).decode()
        names = [line for line in text.splitlines() if line.startswith("segment-")]
        parts = [line.partition('URI="')[2].partition('"')[0] for line in text.splitlines() if "EXT-X-PART:" in line]
        if len(names) < 2 or len(parts) < 2:  # noqa: PLR2004  (whole ones, whose size is the usual one)
            return None
        found = [len(_get(port, base + name)) for name in parts]
        segment = base + names[-1]
        self.sizes |= {PLAYLIST: len(text), PART: sum(found) // len(found), SEGMENT: len(_get(port, segment))}
        return segment


def _get(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=BEGIN_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


async def _window(bench: Bench, server: Server, viewers: int, load: AbstractAsyncContextManager[Watching]) -> Run:
    """What viewers got in a window, and what the server used. Raises `RuntimeError` where some were lost."""
    async with load as viewing:
        await viewing.until_open()
        before, load_before, busy_before = cpu(server.pid), cpu(viewing.pid), busy(bench.cores.server)
        seen = await viewing.until_end()
        used, of_load = cpu(server.pid).since(before), cpu(viewing.pid).since(load_before)
        others = busy(bench.cores.server) - busy_before - used
        held = memory(server.pid)
    check(seen, server.subject.name)
    figures = {
        "watchers": float(viewers),
        "cpu_us_per_request": used * MICROSECONDS / seen.requests,
        "cpu_us_per_mb": used * MICROSECONDS / seen.megabytes,
        "cpu_percent": 100 * used / seen.seconds,
        "requests_per_second": seen.requests / seen.seconds,
        "load_percent": 100 * of_load / seen.seconds,
        "others_percent": 100 * max(others, 0) / seen.seconds,
        "rss_mb": held.rss / 1000,
    }
    return Run(server.subject.name, 0, figures | latencies(seen), coarse(seen.latency))


async def _follow(bench: Bench, subject: Ours, viewers: int, files: Files) -> Run:
    async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp, stamp=True):
        await trio.to_thread.run_sync(files.learn, server.ports.media)
        return await _window(bench, server, viewers, bench.load.following(server.ports.media, viewers, bench.effort))


async def _follow_mediamtx(bench: Bench, viewers: int) -> Run:
    """Its viewers take the pictures alone: it has sound in a rendition of its own."""
    async with bench.run(MEDIAMTX_HLS) as server, bench.load.publishing(server.ports.rtmp, stamp=True):
        await trio.sleep(MEDIAMTX_BEGINS)
        load = bench.load.following(server.ports.media, viewers, bench.effort, MEDIAMTX_INDEX)
        return await _window(bench, server, viewers, load)


async def _parts(bench: Bench) -> Measured:
    files, viewers = Files(), bench.effort.scaled(VIEWERS)

    async def once(subject: Subject) -> Sequence[Run]:
        if isinstance(subject, Ours):
            return [await _follow(bench, subject, viewers, files)]
        if subject is MEDIAMTX_HLS:
            return [await _follow_mediamtx(bench, viewers)]
        async with bench.run(NginxFiles(files.sizes)) as server:
            paths = (f"/{PLAYLIST}", f"/{PART}")
            load = bench.load.fetching(server.ports.rtmp, viewers, paths, PART_MS, bench.effort)
            return [await _window(bench, server, viewers, load)]

    return await bench.alternate([HLS, NginxFiles(files.sizes), MEDIAMTX_HLS], once)


async def _segments(bench: Bench) -> Measured:
    files, viewers = Files(), bench.effort.scaled(SEGMENT_VIEWERS)

    async def once(subject: Subject) -> Sequence[Run]:
        if not isinstance(subject, Ours):
            async with bench.run(NginxFiles(files.sizes)) as server:
                load = bench.load.fetching(server.ports.rtmp, viewers, (f"/{SEGMENT}",), SEGMENT_MS, bench.effort)
                return [await _window(bench, server, viewers, load)]
        async with bench.run(subject) as server, bench.load.publishing(server.ports.rtmp):
            path = await trio.to_thread.run_sync(files.learn, server.ports.media)
            alone = await _unwatched(bench, server)
            load = bench.load.fetching(server.ports.media, viewers, (path,), SEGMENT_MS, bench.effort)
            run = await _window(bench, server, viewers, load)
            return [evolve(run, figures={**run.figures, "cpu_percent_unwatched": alone})]

    return await bench.alternate([HLS, NginxFiles(files.sizes)], once)


async def _unwatched(bench: Bench, server: Server) -> float:
    """Percent of a core that the publisher takes by itself, which `nginx` has not; part of what is counted later."""
    before, begin = cpu(server.pid), trio.current_time()
    await trio.sleep(bench.effort.warm_up)
    return 100 * cpu(server.pid).since(before) / (trio.current_time() - begin)


async def _lateness(bench: Bench) -> Measured:
    async def once(subject: Subject) -> Sequence[Run]:
        assert isinstance(subject, Ours)
        return [await _follow(bench, subject, bench.effort.scaled(LATENCY_VIEWERS), Files())]

    return await bench.alternate([HLS], once)


async def _packets(bench: Bench) -> Measured:
    seconds = max(1, round(PACKET_SECONDS * bench.effort.scale))

    async def once(subject: Subject) -> Sequence[Run]:
        return [Run(subject.name, 0, {"cpu_us_per_packet": await trio.to_thread.run_sync(packet_us, seconds)})]

    return await bench.alternate([OURS], once)


def packet_us(seconds: int) -> float:
    """Microseconds of CPU from an FLV tag's body to its place in a fragment, in this process."""
    stream = generate_stream(seconds=seconds)
    tags = [(packet.kind is MediaKind.VIDEO, packet.stream_id, packet.timestamp, packet.data) for packet in stream]
    fragmenter = Fragmenter()
    begin = time.thread_time()
    for is_video, stream_id, timestamp, data in tags:
        parse = parse_video if is_video else parse_audio
        fragmenter.packet(parse(stream_id, timestamp, data))
    return (time.thread_time() - begin) * MICROSECONDS / len(tags)


def _beside_nginx(figure: str) -> Callable[[Sequence[Run]], float | None]:
    return lambda runs: ratio_of(runs, HLS.name, NginxFiles.name, figure)


LL_HLS = Row(
    "ll-hls",
    "1 publisher, 500 viewers of Low-Latency HLS, a playlist and a part each 200 ms",
    "nginx with files of that size, MediaMTX",
    _parts,
    [(Target("CPU per request", 1.5, "x"), _beside_nginx("cpu_us_per_request"))],
    ("cpu_us_per_request",),
)
SEGMENTS = Row(
    "segments",
    "1,000 viewers, a segment each 2 s",
    "nginx with files of that size",
    _segments,
    [(Target("CPU per delivered MB", 4.5, "x"), _beside_nginx("cpu_us_per_mb"))],
    ("cpu_us_per_mb",),
)
PART_LATENCY = Row(
    "part-latency",
    "publisher to 300 viewers of Low-Latency HLS",
    "absolute",
    _lateness,
    [
        (
            Target("p99 from the closing of a part to its last byte", 20, "ms"),
            lambda runs: median_of(runs, HLS.name, "latency_p99_ms"),
        )
    ],
    ("latency_p50_ms", "latency_p99_ms", "cpu_us_per_request"),
)
FRAGMENTS = Row(
    "fragments",
    "packets into fragmented MP4, tag parsing included",
    "absolute",
    _packets,
    [(Target("CPU per packet", 5, "µs"), lambda runs: median_of(runs, OURS.name, "cpu_us_per_packet"))],
    ("cpu_us_per_packet",),
)
