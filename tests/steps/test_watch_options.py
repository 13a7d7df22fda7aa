"""The trade-offs of `rtmp_watch`: how often it sends, where newcomers begin, what it keeps for the slow and nobody."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError
from mmids_trio.fanout.stream_log import CHARGED_IN, ENTRY_OVERHEAD
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.steps.rtmp_audience import Audience, WatchOptions
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


@pytest.mark.thorough
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


def groups_of_pictures(packets: Sequence[MediaPacket]) -> list[list[MediaPacket]]:
    """Each but the first begins with its key frame; the first has the sequence headers before."""
    starts = [place for place, packet in enumerate(packets) if packet.is_key_frame and not packet.is_sequence_header]
    return [list(packets[start:stop]) for start, stop in pairwise([0, *starts[1:], len(packets)])]


def kept_for(packets: Sequence[MediaPacket]) -> int:
    """Bytes that a log keeps for these packets."""
    return sum(len(packet.data) + ENTRY_OVERHEAD for packet in packets)


@pytest.mark.parametrize(
    "watch", ["rtmp_watch rtmp_app=live stream_key=*", "http_watch app=live stream_key=* formats=flv"]
)
async def test_of_a_key_that_nobody_watches_a_step_keeps_what_a_newcomer_begins_with_and_no_more(
    watch: str, autojump_clock: MockClock
) -> None:
    stream = generate_stream(seconds=8, frame_bytes=4_000)
    for cache, share in (("true", 1), ("false", 0)):
        async with Harness(f"settings {{\ngop_cache {cache}\n}}\nworkflow w {{\n{RECEIVE}\n{watch}\n}}\n") as h:
            publisher = await h.publish("live/key")
            headers = kept_for([packet for packet in stream if packet.is_sequence_header])
            for group in groups_of_pictures(stream):
                await publisher.send(group)
                await wait_all_tasks_blocked()
                wanted = share * kept_for(group)
                assert wanted - CHARGED_IN - headers < h.server.memory.held < wanted + CHARGED_IN + headers
                assert kept_for(group) > 4 * (CHARGED_IN + headers)
            await publisher.unpublish()
            await wait_all_tasks_blocked()
            assert h.server.memory.held < CHARGED_IN


def test_what_is_kept_for_the_slow_is_as_long_as_asked_for() -> None:
    assert Audience("*", evolve(WatchOptions.of(Settings()), max_lag_s=3)).channel("key").log.max_ms == 3000


@pytest.mark.parametrize("options", ["send_interval=1001", "send_interval=-1", "gop_cache=yes", "max_lag=0"])
def test_values_are_checked(options: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(configuration(options), [Recorder().step_type()])


@pytest.mark.parametrize("setting", ["rtmp_send_interval 5000", "gop_cache maybe", "max_watcher_lag 0"])
def test_settings_are_checked(setting: str) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        Harness(configuration("", setting), [Recorder().step_type()])
