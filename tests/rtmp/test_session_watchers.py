"""Watchers through a whole session: waiting, joining, pausing, choosing, stopping, and not reading at all."""

from collections.abc import Callable, Sequence

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.rtmp.protocol.events import StreamBeginReceived, StreamEofReceived
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from tests.support.rtmp import PLAIN_HANDSHAKE, command, connect

Closings = Callable[[], list[str]]

LIVE = """
workflow w {
    rtmp_receive rtmp_app=live stream_key=*
    rtmp_watch rtmp_app=live stream_key=*
}
"""

HALF = 40
"""Packets of `PACKETS` that come first in a test; the rest begins in the middle of a group of pictures."""

PACKETS = generate_stream(seconds=4)


async def read_what_is_there(client: RtmpClient) -> list[MediaPacket]:
    """What has come since the last time."""
    before = len(client.packets)
    with trio.move_on_after(1):
        await client.read_until_closed()
    return client.packets[before:]


def kinds(packets: Sequence[MediaPacket]) -> set[MediaKind]:
    return {packet.kind for packet in packets if not packet.is_sequence_header}


async def test_a_watcher_that_comes_first_gets_everything(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        await h.publish("key", PACKETS)
        await read_what_is_there(watcher)
        report = watcher.report(PACKETS)
        assert report.is_flawless_from_join
        assert report.missed == ()


async def test_a_watcher_that_comes_later_begins_at_the_latest_key_frame(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        publisher = await h.publish("key", PACKETS[:HALF])
        await wait_all_tasks_blocked()
        watcher = await h.watch("key")
        await publisher.send(PACKETS[HALF:])
        await read_what_is_there(watcher)
        packets = watcher.packets
        assert watcher.report(PACKETS).is_flawless_from_join
        first_video = next(packet for packet in packets if packet.kind is MediaKind.VIDEO)
        assert first_video.is_sequence_header
        assert watcher.metadata[0]["videocodecid"] == 7
        sent_key_frames = [packet.data for packet in PACKETS[:HALF] if packet.is_key_frame]
        assert next(packet.data for packet in packets if packet.is_key_frame) == sent_key_frames[-1]


async def test_a_watcher_stays_when_the_publisher_goes_and_gets_the_next_one(autojump_clock: MockClock) -> None:
    second = generate_stream("second", seconds=2)
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key", PACKETS)
        await read_what_is_there(watcher)
        await publisher.unpublish()
        await read_what_is_there(watcher)
        assert [type(event) for event in watcher.events if isinstance(event, (StreamBeginReceived, StreamEofReceived))][
            -1
        ] is StreamEofReceived
        assert not {"NetStream.Play.Stop", "NetStream.Play.UnpublishNotify"} & set(watcher.statuses)
        with trio.move_on_after(3600):
            await watcher.read_until_closed()  # it answers pings, as players do
        await h.publish("key", second)
        watcher.packets.clear()
        await read_what_is_there(watcher)
        report = watcher.report(second)
        assert report.is_flawless_from_join
        assert report.missed == ()


async def test_a_paused_watcher_gets_nothing_and_goes_on_at_a_key_frame(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key", PACKETS[:HALF])
        await read_what_is_there(watcher)
        await watcher.command("pause", None, True, 0.0, stream=1)
        await wait_all_tasks_blocked()
        await publisher.send(PACKETS[HALF:-80])
        assert await read_what_is_there(watcher) == []
        assert watcher.statuses[-1] == "NetStream.Pause.Notify"
        await watcher.command("pause", None, False, 0.0, stream=1)
        await wait_all_tasks_blocked()
        await publisher.send(PACKETS[-80:])
        await read_what_is_there(watcher)
        assert watcher.statuses[-1] == "NetStream.Unpause.Notify"
        report = watcher.report(PACKETS)
        assert (report.repeated, report.out_of_order, report.undecodable, report.backwards) == ((), (), (), ())
        assert report.missed
        assert report.missed == report.gaps


@pytest.mark.parametrize(("wish", "left"), [("receiveAudio", MediaKind.VIDEO), ("receiveVideo", MediaKind.AUDIO)])
async def test_a_watcher_may_do_without_audio_or_video_for_a_while(
    wish: str, left: MediaKind, autojump_clock: MockClock
) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key", PACKETS[:HALF])
        assert len(kinds(await read_what_is_there(watcher))) == 2
        await watcher.command(wish, None, False, stream=1)
        await wait_all_tasks_blocked()
        await publisher.send(PACKETS[HALF:-80])
        assert kinds(await read_what_is_there(watcher)) == {left}
        await watcher.command(wish, None, True, stream=1)
        await wait_all_tasks_blocked()
        await publisher.send(PACKETS[-80:])
        assert len(kinds(await read_what_is_there(watcher))) == 2
        report = watcher.report(PACKETS)
        assert (report.repeated, report.out_of_order, report.undecodable, report.backwards) == ((), (), (), ())


async def test_what_a_watcher_wishes_holds_for_what_it_watches_next(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key", PACKETS[:HALF])
        await watcher.command("receiveAudio", None, False, stream=1)
        await watcher.stop_watching()
        await read_what_is_there(watcher)
        await watcher.watch("key")
        await publisher.send(PACKETS[HALF:])
        assert kinds(await read_what_is_there(watcher)) == {MediaKind.VIDEO}


async def test_one_connection_may_stop_and_watch_another_key(autojump_clock: MockClock) -> None:
    other = generate_stream("other", seconds=2)
    async with Harness(LIVE) as h:
        await h.publish("a", PACKETS)
        watcher = await h.watch("a")
        await read_what_is_there(watcher)
        await watcher.stop_watching()
        await read_what_is_there(watcher)
        await watcher.watch("b")
        watcher.packets.clear()
        await h.publish("b", other)
        await read_what_is_there(watcher)
        assert watcher.report(other).is_flawless_from_join
        assert watcher.report(other).missed == ()


async def test_a_watcher_that_stopped_gets_nothing_more(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        watcher = await h.watch("key")
        publisher = await h.publish("key", PACKETS[:HALF])
        await read_what_is_there(watcher)
        await watcher.stop_watching()
        await wait_all_tasks_blocked()
        await publisher.send(PACKETS[HALF:])
        assert await read_what_is_there(watcher) == []


@pytest.mark.schedules(20)
async def test_a_play_that_is_replaced_in_the_same_breath_is_not_in_the_way_of_the_next(
    autojump_clock: MockClock, closings: Closings
) -> None:
    """Whichever of the tasks comes first."""
    async with Harness(LIVE) as h:
        transport = await h.open()
        plays = [command("play", 3 + place, None, key, stream=1) for place, key in enumerate("abc")]
        await transport.send_all(b"".join([PLAIN_HANDSHAKE, connect(), command("createStream", 2, None), *plays]))
        await wait_all_tasks_blocked()
        received = len(await transport.receive_some(100_000))
        await h.publish("a", PACKETS)
        with trio.move_on_after(1):
            received += len(await transport.receive_some(100_000))
        await h.publish("c", PACKETS)
        await wait_all_tasks_blocked()
        assert len(await transport.receive_some(1_000_000)) > 10_000
        assert received < 10_000
        assert closings() == []


@pytest.mark.thorough
async def test_a_watcher_that_reads_nothing_is_given_up_and_nobody_else_notices(
    autojump_clock: MockClock, closings: Closings
) -> None:
    """Ten minutes of a stream in virtual time; the memory that the lazy one costs is bounded all the while."""
    packets = generate_stream(seconds=600, fps=5, gop=10, audio=False, frame_bytes=2_000)
    async with Harness(LIVE) as h:
        lazy = await h.watch("key")
        eager = [await h.watch("key") for _ in range(2)]
        publisher = await h.publish("key")
        async with trio.open_nursery() as nursery:
            for watcher in eager:
                nursery.start_soon(watcher.read_until_closed)
            began = trio.current_time()
            for packet in packets:
                await trio.sleep_until(began + packet.timestamp / 1000)
                await publisher.send([packet])
            assert closings() == ["it took no data for too long"]
            await wait_all_tasks_blocked()
            await h.stop("w")
        for watcher in eager:
            assert watcher.report(packets).is_flawless_from_join
            assert watcher.report(packets).missed == ()
        await lazy.read_until_closed()
        assert 0 < len(lazy.packets) < 100
    h.assert_quiet()


async def test_the_end_of_the_step_sends_play_stop_and_closes_before_the_workflow_has_ended(
    autojump_clock: MockClock, closings: Closings
) -> None:
    async with Harness(LIVE) as h:
        publisher, watchers = await h.publish("key", PACKETS), [await h.watch(key) for key in ("key", "key", "none")]
        await h.stop("w")
        h.assert_quiet()
        for watcher in watchers:
            await watcher.read_until_closed()
            assert watcher.statuses[-1] == "NetStream.Play.Stop"
        await publisher.read_until_closed()
        assert closings() == ["what it used has ended"] * 4


@pytest.mark.thorough
async def test_a_watcher_that_reads_nothing_delays_the_end_of_the_step_by_a_second(autojump_clock: MockClock) -> None:
    packets = generate_stream(seconds=60, frame_bytes=8_000)
    async with Harness(LIVE) as h:
        lazy, eager = await h.watch("key"), await h.watch("key")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(eager.read_until_closed)
            await h.publish("key", packets)
            await wait_all_tasks_blocked()
            began = trio.current_time()
            await h.stop("w")
            assert trio.current_time() - began == pytest.approx(1)
            h.assert_quiet()
        assert eager.statuses[-1] == "NetStream.Play.Stop"
        await lazy.read_until_closed()


async def test_the_log_says_of_a_watcher_that_nobody_publishes_its_key(autojump_clock: MockClock) -> None:
    with capture_logs() as lines:
        async with Harness(LIVE) as h:
            await h.watch("key")
            await h.publish("key", PACKETS[:HALF])
            await wait_all_tasks_blocked()
            await h.watch("key")
    joined = [line for line in lines if line["event"] == "watcher joined"]
    assert [line.get("waits") for line in joined] == ["nobody publishes this key yet", None]
