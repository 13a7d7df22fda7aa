"""The load: what its tools say is understood, and they really publish and watch."""

import os
import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from benchmarks.bench import Bench, Effort
from benchmarks.children import Events
from benchmarks.load import Crowd, prepare, watched
from benchmarks.machine import Cores
from benchmarks.rows.http_media import packet_us
from benchmarks.subjects import OURS, NginxRtmp, NodeMediaServer
from benchmarks.window import check, watch

END = {
    **{"event": "end", "watchers": 2, "alive": 2, "silent": 0, "seconds": 1.5, "bytes": 3_000_000},
    **{"least_bytes": 1_400_000, "most_bytes": 1_600_000, "longest_gap_ms": 33.5},
    **{"latency_bucket_us": 20, "latency_max_us": 250.0, "latency": [[0, 7], [12, 1]]},
}
ENOUGH_SECONDS = 60


def test_latencies_are_the_upper_ends_of_their_intervals_in_milliseconds() -> None:
    seen = watched(END)
    assert [count for _, count in seen.latency] == [7, 1]
    assert [end for end, _ in seen.latency] == pytest.approx([0.02, 0.26])
    assert seen.latency_max_ms == 0.25
    assert seen.megabytes == 3


def test_a_crowd_says_what_the_tool_reads() -> None:
    assert Crowd().options == []
    assert Crowd([2, 3], rate=500, churn=4.5).options == ["shares=2,3", "500", "churn=4.5"]


@pytest.mark.parametrize("lost", [{"alive": 1}, {"silent": 1}])
def test_a_window_in_which_watchers_were_lost_counts_for_nothing(lost: dict[str, int]) -> None:
    check(watched(END), "ours")
    with pytest.raises(RuntimeError, match="of 2 watchers"):
        check(watched({**END, **lost}), "ours")


async def test_events_are_told_apart_however_they_arrive(tmp_path: Path) -> None:
    sender, receiver = memory_stream_one_way_pair()
    events = Events(receiver, tmp_path / "log")
    await sender.send_all(b'{"event": "start"}\n{"event": "e')
    await sender.send_all(b'nd", "bytes": 5}\n')
    assert await events.wait_for("end", 1) == {"event": "end", "bytes": 5}


async def test_a_tool_that_ends_too_early_is_quoted(tmp_path: Path) -> None:
    sender, receiver = memory_stream_one_way_pair()
    (tmp_path / "log").write_text("connect: Connection refused\n", encoding="utf-8")
    await sender.aclose()
    with pytest.raises(RuntimeError, match="before it said 'start': connect: Connection refused"):
        await Events(receiver, tmp_path / "log").wait_for("start", 1)


async def test_a_tool_that_says_nothing_is_given_up(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    _sender, receiver = memory_stream_one_way_pair()
    with pytest.raises(RuntimeError, match="did not say 'start' within 5 s"):
        await Events(receiver, tmp_path / "log").wait_for("start", 5)


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("cc") is None, reason="the load tools need a C compiler")
async def test_the_load_tools_publish_to_and_watch_the_server(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    built = prepare(tmp_path)
    effort = Effort(repeat=1, seconds=1.0, warm_up=1.0)
    bench = Bench(effort, Cores(core, core), built, NginxRtmp(), NodeMediaServer(tmp_path / "node"), print)
    with trio.fail_after(ENOUGH_SECONDS):
        async with bench.run(OURS) as server, built.publishing(server.ports.rtmp, stamp=True):
            run = await watch(bench, server, 5)
    assert run.figures["mbit_per_watcher"] > 0.5
    assert run.figures["least_to_mean"] > 0.5
    assert 0 < run.figures["latency_p50_ms"] <= run.figures["latency_p99_ms"]
    assert run.figures["cpu_us_per_mb"] > 0
    assert run.figures["rss_mb"] > 10


def test_requests_are_counted_where_there_are_some() -> None:
    assert watched(END).requests == 0
    assert watched({**END, "requests": 7}).requests == 7


def test_the_cost_of_a_packet_in_fragments_is_measured() -> None:
    assert packet_us(1) > 0


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("cc") is None, reason="the load tools need a C compiler")
async def test_watchers_of_several_keys_come_and_go_and_see_pictures(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    built = prepare(tmp_path)
    effort = Effort(repeat=1, seconds=3.0, warm_up=1.0)
    bench = Bench(effort, Cores(core, core), built, NginxRtmp(), NodeMediaServer(tmp_path / "node"), print)
    crowd = Crowd([1, 3], rate=100, churn=2)
    with trio.fail_after(ENOUGH_SECONDS):
        async with bench.run(OURS) as server, built.publishing(server.ports.rtmp, count=2, stamp=True, churn=0.5):
            run = await watch(bench, server, 4, crowd=crowd)
    assert run.figures["mbit_per_watcher"] > 0.5
    assert 0 < run.figures["picture_p50_ms"] <= run.figures["picture_max_ms"]
