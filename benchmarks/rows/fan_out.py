"""One publisher and a crowd of watchers: what a delivered megabyte costs, and how long a frame is on the way."""

from collections.abc import Sequence

from benchmarks.bench import NGINX_AT_ONCE, Bench, Measured, Row
from benchmarks.figures import Run, Target, median_of, ratio_of
from benchmarks.go_peers import MEDIAMTX
from benchmarks.subjects import FLV, OURS, THROUGHPUT, Ours, Subject
from benchmarks.window import watch

CROWD = 1_000
LATENCY_CROWD = 100


async def measure_crowd(bench: Bench, subjects: Sequence[Subject], watchers: int, *, encoder: bool) -> Measured:
    """Each subject with so many watchers, and FFmpeg as the encoder or a publisher that sends stamps."""

    async def once(subject: Subject) -> Sequence[Run]:
        load = bench.load
        async with bench.run(subject) as server:
            port = server.ports.rtmp
            async with load.encoder(port) if encoder else load.publishing(port, stamp=True):
                return [await watch(bench, server, watchers, flv=isinstance(subject, Ours) and subject.serves_http)]

    return await bench.alternate(subjects, once)


def everybody(bench: Bench) -> list[Subject]:
    """Us and the peers."""
    return [OURS, bench.nginx, bench.nginx_at_once, bench.node, MEDIAMTX]


async def _fan_out(bench: Bench) -> Measured:
    return await measure_crowd(bench, everybody(bench), bench.effort.scaled(CROWD), encoder=True)


async def _single_packets(bench: Bench) -> Measured:
    return await measure_crowd(bench, everybody(bench), bench.effort.scaled(CROWD), encoder=False)


async def _throughput(bench: Bench) -> Measured:
    able, notes = bench.able([THROUGHPUT])
    if not able:
        return Measured([], notes)
    return await measure_crowd(bench, [OURS, THROUGHPUT, bench.nginx], bench.effort.scaled(CROWD), encoder=True)


async def _flv(bench: Bench) -> Measured:
    return await measure_crowd(bench, [FLV, OURS], bench.effort.scaled(CROWD), encoder=True)


async def _latency(bench: Bench) -> Measured:
    return await measure_crowd(bench, everybody(bench), bench.effort.scaled(LATENCY_CROWD), encoder=False)


CPU = ("cpu_us_per_mb",)
AGAINST_NGINX = [
    (
        Target("CPU per delivered MB", 0.65, "x"),
        lambda runs: ratio_of(runs, OURS.name, "nginx-rtmp", "cpu_us_per_mb"),
    ),
    (
        Target("the same, nginx-rtmp sending at once as we do", 0.65, "x"),
        lambda runs: ratio_of(runs, OURS.name, NGINX_AT_ONCE, "cpu_us_per_mb"),
    ),
]
FAN_OUT = Row(
    "fan-out",
    "1 publisher, 1,000 watchers, lowest latency",
    "nginx-rtmp, MediaMTX",
    _fan_out,
    [
        (
            Target("CPU per delivered MB", 0.6, "x"),
            lambda runs: ratio_of(runs, OURS.name, "nginx-rtmp", "cpu_us_per_mb"),
        ),
        AGAINST_NGINX[1],
        (
            Target("the same, MediaMTX", 0.3, "x"),
            lambda runs: ratio_of(runs, OURS.name, MEDIAMTX.name, "cpu_us_per_mb"),
        ),
    ],
    CPU,
)
SINGLE_PACKETS = Row(
    "single-packets",
    "the same, from a publisher that sends sound and video apart",
    "nginx-rtmp",
    _single_packets,
    AGAINST_NGINX,
    CPU,
)
THROUGHPUT_SETTING = Row(
    "throughput",
    "1 publisher, 1,000 watchers, passes at least 200 ms apart",
    "our lowest latency",
    _throughput,
    [
        (
            Target("CPU per delivered MB", 0.40, "x"),
            lambda runs: ratio_of(runs, THROUGHPUT.name, OURS.name, "cpu_us_per_mb"),
        ),
        (
            Target("the same, nginx-rtmp", 0.22, "x"),
            lambda runs: ratio_of(runs, THROUGHPUT.name, "nginx-rtmp", "cpu_us_per_mb"),
        ),
    ],
    CPU,
)
FLV_FAN_OUT = Row(
    "flv-fan-out",
    "1 publisher, 1,000 viewers of HTTP-FLV",
    "our RTMP",
    _flv,
    [(Target("CPU per delivered MB", 1.1, "x"), lambda runs: ratio_of(runs, FLV.name, OURS.name, "cpu_us_per_mb"))],
    CPU,
)
LATENCY = Row(
    "latency",
    "publisher to 100 watchers, lowest latency",
    "absolute",
    _latency,
    [(Target("p99 from sending to reading", 10, "ms"), lambda runs: median_of(runs, OURS.name, "latency_p99_ms"))],
    ("latency_p50_ms", "latency_p99_ms", "cpu_us_per_mb"),
)
