"""The trade-offs of `rtmp_watch`: how often it sends, where newcomers begin, what it keeps for the slow."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaKind
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.watch_options import WatchOptions
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.recorder import Recorder

STREAM = generate_stream(seconds=3)
RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"


def configuration(options: str = "", settings: str = "") -> str:
    watch = f"rtmp_watch rtmp_app=live stream_key=* {options}"
    return f"settings {{\n{settings}\n}}\nworkflow w {{\n{RECEIVE}\n{watch}\nrecord\n}}\n"


async def arrivals(text: str) -> tuple[list[float], list[bytes], list[bytes]]:
    """When a watcher got something (seconds since the publisher began), what it got, and what was passed on."""
    recorder, times = Recorder(), list[float]()
    async with Harness(text, [recorder.step_type()]) as h, trio.open_nursery() as nursery:
        watcher = await h.watch("key")

        async def watch() -> None:
            while not watcher.is_disconnected:
                before = len(watcher.packets)
                await watcher.read_some()
                if len(watcher.packets) > before:
                    times.append(round(trio.current_time() - began, 3))

        nursery.start_soon(watch)
        publisher = await h.publish("key")
        began = trio.current_time()
        for packet in STREAM:
            await trio.sleep_until(began + packet.timestamp / 1000)
            await publisher.send([packet])
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
        return times, [packet.data for packet in watcher.packets], [packet.data for packet in recorder.packets]


async def test_by_default_every_packet_is_sent_when_it_comes(autojump_clock: MockClock) -> None:
    times, got, passed = await arrivals(configuration())
    assert set(times) == {round(packet.timestamp / 1000, 3) for packet in STREAM}
    assert got == passed == [packet.data for packet in STREAM]


@pytest.mark.parametrize(("options", "settings"), [("send_interval=200", ""), ("", "rtmp_send_interval 200")])
async def test_with_an_interval_nothing_is_lost_and_passes_are_that_far_apart(
    options: str, settings: str, autojump_clock: MockClock
) -> None:
    times, got, passed = await arrivals(configuration(options, settings))
    assert got == passed == [packet.data for packet in STREAM]
    assert all(later - earlier >= 0.199 for earlier, later in pairwise(times))
    assert len(times) <= 17
    assert times[-1] <= STREAM[-1].timestamp / 1000 + 0.2


async def test_a_step_may_differ_from_its_server(autojump_clock: MockClock) -> None:
    times, _, _ = await arrivals(configuration("send_interval=0", "rtmp_send_interval 500"))
    assert len(times) > 100


async def test_without_the_cache_a_newcomer_waits_for_the_next_key_frame(autojump_clock: MockClock) -> None:
    for options, first_key_frame in (("", 1000), ("gop_cache=false", 2000)):
        async with Harness(configuration(options), [Recorder().step_type()]) as h:
            publisher = await h.publish("key")
            early = [packet for packet in STREAM if packet.timestamp < 1500]
            await publisher.send(early)
            await wait_all_tasks_blocked()
            watcher = await h.watch("key")
            await publisher.send(STREAM[len(early) :])
            await watcher.read_until(lambda watcher=watcher: len(watcher.packets) > 10)  # type: ignore[misc]  # of a lambda with a default
            video = [p for p in watcher.packets if p.kind is MediaKind.VIDEO and not p.is_sequence_header]
            assert video[0].is_key_frame
            assert video[0].timestamp == first_key_frame
            assert watcher.report(STREAM).undecodable == ()


def test_what_is_kept_for_the_slow_is_as_long_as_asked_for() -> None:
    assert Audience("*", WatchOptions(max_lag=3)).channel("key").log.max_ms == 3000


@pytest.mark.parametrize("options", ["send_interval=1001", "send_interval=-1", "gop_cache=yes", "max_lag=0"])
def test_values_are_checked(options: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(configuration(options), [Recorder().step_type()])


@pytest.mark.parametrize("setting", ["rtmp_send_interval 5000", "gop_cache maybe", "max_watcher_lag 0"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(configuration("", setting), [Recorder().step_type()])
