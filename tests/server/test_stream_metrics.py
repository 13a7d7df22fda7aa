"""Metrics of single streams: those with most watchers have their own, the rest are summed, and the work is sliced."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.server.stream_metrics import PER_SLICE
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.publishing import WAIT_FOR_ALL

STREAM = generate_stream(seconds=2)
SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=*
    failover primary=a backup=b output=out after=1 pass_others=true
    rtmp_push target=rtmp://nowhere:1999/live/key stream_name=c
    rtmp_watch rtmp_app=live stream_key=*
}
"""


def settings(most: int) -> str:
    return WAIT_FOR_ALL.replace("settings {\n", f"settings {{\nstream_metrics {most}\nmax_connections_per_ip 1000\n")


async def series(h: Harness, name: str) -> dict[str, float]:
    """By labels."""
    lines = (await h.http.get("/metrics")).text.splitlines()
    found = [line.removeprefix(name).rpartition(" ") for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return {labels: float(value) for labels, _, value in found}


async def test_the_most_watched_have_series_of_their_own_and_the_rest_one(autojump_clock: MockClock) -> None:
    async with Harness(settings(1) + SHOW) as h, trio.open_nursery() as nursery:
        for name, watchers in (("c", 1), ("d", 3), ("e", 2)):
            await h.publish(name, STREAM)
            for _ in range(watchers):
                nursery.start_soon((await h.watch(name)).read_until_closed)
        await wait_all_tasks_blocked()
        [(shown, watchers_of_d), (rest, watchers_of_others)] = (await series(h, "mmids_stream_watchers")).items()
        assert ('stream="d"' in shown, watchers_of_d) == (True, 3)
        assert (rest, watchers_of_others) == ('{workflow="",stream="",id=""}', 3)
        await trio.sleep(2)
        ages = await series(h, "mmids_stream_last_frame_age")
        assert list(ages.values()) == [pytest.approx(2, abs=0.1)] * 2
        nursery.cancel_scope.cancel()


async def test_states_targets_and_the_source_of_a_failover_are_counted(autojump_clock: MockClock) -> None:
    async with Harness(settings(200) + SHOW) as h:
        for name in ("a", "b", "c"):
            await h.publish(name, STREAM)
        await trio.sleep(0.5)
        assert (await series(h, "mmids_streams"))['{state="live"}'] == 4
        sources = {
            labels.split('source="')[1][0]: value for labels, value in (await series(h, "mmids_step_source")).items()
        }
        assert sources == {"a": 1, "b": 0}
        [down], [up] = [(await series(h, f"mmids_step_targets_{state}")).values() for state in ("down", "up")]
        assert (down, up) == (1, 0)
        await trio.sleep(10)
        assert (await series(h, "mmids_streams"))['{state="stalled"}'] == 4
        assert (await series(h, "mmids_streams"))['{state="live"}'] == 0


@pytest.mark.thorough
async def test_so_many_are_looked_at_between_two_turns(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Harness(settings(5) + SHOW) as h:
        for number in range(3 * PER_SLICE):
            await h.publish(f"many {number}", STREAM[:3])
        streams = h.server.metrics.streams
        seen: list[int] = []
        look = type(streams)._look

        def counted(*arguments: object) -> object:
            seen.append(0)
            return look(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(type(streams), "_look", counted)
        before, most = 0, 0
        for _ in streams.gather():
            most, before = max(most, len(seen) - before), len(seen)
        assert (len(seen), most) == (3 * PER_SLICE, PER_SLICE)
        assert len([sample for sample in streams.samples() if "watchers" in sample[0].name]) == 6
