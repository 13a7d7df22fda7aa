"""Links are as slow, thin and faulty as they say, each time the same, and a server copes with them."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.checker import StreamChecker
from mmids_trio.testing.clients import Disconnected
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.links import SEGMENT_BYTES, Direction, Link
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryTransport, memory_connection
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.events import StreamWentOff

LIVE = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"
SILENCE = 30.0  # seconds: what the settings allow a publisher by default


async def arrivals(end: MemoryTransport, count: int) -> list[tuple[float, int]]:
    """When how many bytes arrive, until `count` are there."""
    began, found = trio.current_time(), list[tuple[float, int]]()
    while sum(size for _, size in found) < count:
        data = await end.receive_some(count)
        found.append((trio.current_time() - began, len(data)))
    return found


async def test_what_is_sent_arrives_after_the_latency_and_so_does_the_end(autojump_clock: MockClock) -> None:
    client, server = memory_connection(link=Link(up=Direction(latency=3), down=Direction(latency=5)))
    await client.send_all(b"hello")
    client.close()
    assert await arrivals(server, 5) == [(3, 5)]
    assert await server.receive_some(1) == b""
    assert trio.current_time() == pytest.approx(3)


async def test_the_two_directions_have_their_own_latency(autojump_clock: MockClock) -> None:
    client, server = memory_connection(link=Link(up=Direction(latency=3), down=Direction(latency=5)))
    await server.send_all(b"down")
    assert await arrivals(client, 4) == [(5, 4)]


async def test_a_bandwidth_is_kept_to_the_byte(autojump_clock: MockClock) -> None:
    client, server = memory_connection(link=Link.both_ways(latency=1, bandwidth=SEGMENT_BYTES))
    await client.send_all(bytes(3 * SEGMENT_BYTES))
    assert await arrivals(server, 3 * SEGMENT_BYTES) == [(2, SEGMENT_BYTES), (3, SEGMENT_BYTES), (4, SEGMENT_BYTES)]


async def test_a_sender_that_is_faster_than_the_link_waits_for_it(autojump_clock: MockClock) -> None:
    client, server = memory_connection(buffer_size=1_000, link=Link(up=Direction(bandwidth=1_000)))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrivals, server, 10_000)
        await client.send_all(bytes(10_000))
        assert trio.current_time() - began == pytest.approx(9)
    assert trio.current_time() - began == pytest.approx(10)


pieces_of_bytes = st.lists(st.binary(min_size=1, max_size=4_000), max_size=20)


@given(pieces_of_bytes, st.sampled_from([0.0, 0.7]), st.integers(100, 9_000))
def test_every_byte_arrives_in_order(pieces: list[bytes], latency: float, rate: int) -> None:
    received = bytearray()

    async def read(end: MemoryTransport) -> None:
        while data := await end.receive_some(1_000):
            received.extend(data)

    async def run() -> None:
        client, server = memory_connection(buffer_size=3_000, link=Link.both_ways(latency=latency, bandwidth=rate))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, server)
            for piece in pieces:
                await client.send_all(piece)
            client.close()

    trio.run(run, clock=MockClock(autojump_threshold=0))
    assert received == b"".join(pieces)


async def test_a_cut_after_some_bytes_lets_these_through_and_then_breaks_both_ends(autojump_clock: MockClock) -> None:
    client, server = memory_connection(link=Link(up=Direction(latency=2, cut_after=7)))
    await client.send_all(b"0123456789")
    await client.send_all(b"lost")
    assert await server.receive_some(100) == b"0123456"
    with pytest.raises(trio.BrokenResourceError):
        await server.receive_some(100)
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"more")
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some(100)


async def test_a_cut_at_a_time_wakes_who_waits(autojump_clock: MockClock) -> None:
    client, _ = memory_connection(buffer_size=10, link=Link(cut_at=4))
    began = trio.current_time()

    async def wait_to_read() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some(1)
        assert trio.current_time() - began == 4

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_to_read)
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(bytes(20))
        assert trio.current_time() - began == 4


@pytest.mark.parametrize(
    "link", [Link(vanish_at=2), Link(up=Direction(vanish_after=5))], ids=["at a time", "after bytes"]
)
async def test_what_is_sent_over_a_link_that_has_vanished_goes_nowhere(link: Link, autojump_clock: MockClock) -> None:
    client, server = memory_connection(link=link)
    await client.send_all(b"hello")
    assert await server.receive_some(100) == b"hello"
    await trio.sleep(2)
    await client.send_all(b"is anybody there?")
    await server.send_all(b"hello?")
    for end in (client, server):
        with trio.move_on_after(1_000) as scope:
            await end.receive_some(1)
        assert scope.cancelled_caught
    client.close()
    await server.send_all(b"still nobody knows")
    assert client.is_over
    assert server.is_over


# What a server makes of them.


@pytest.mark.thorough
async def test_a_watcher_on_a_slow_link_is_skipped_to_a_key_frame(autojump_clock: MockClock) -> None:
    packets = generate_stream(seconds=60, audio=False, gop=50, frame_bytes=4_000, key_frame_bytes=20_000)  # 110 kB/s
    async with Harness(LIVE) as h, trio.open_nursery() as nursery:
        publisher = await h.publish("live/show")
        slow = await h.watch("live/show", link=Link(down=Direction(bandwidth=60_000)))
        fast = await h.watch("live/show", link=Link.both_ways(latency=0.2))
        for watcher in (slow, fast):
            nursery.start_soon(watcher.read_until_closed)
        for packet in packets:
            await trio.sleep_until(packet.timestamp / 1000)
            await publisher.send([packet])
        await trio.sleep(5)
        fast.report(packets).require_flawless()
        report = slow.report(packets)
        assert report.gaps
        assert report.undecodable == report.repeated == report.out_of_order == report.altered == ()
        missed = set(report.missed)
        behind_gaps = [place for place in range(1, len(packets)) if place - 1 in missed and place not in missed]
        assert behind_gaps
        assert all(packets[place].is_key_frame for place in behind_gaps)
        await h.stop("live")
    h.assert_quiet()


async def test_a_publisher_that_goes_half_open_is_noticed_by_its_timeout(autojump_clock: MockClock) -> None:
    async with Harness(LIVE) as h:
        publisher = await h.publish("live/show", link=Link(vanish_at=10))
        for second, packet in enumerate(generate_stream(seconds=1, audio=False)):
            await trio.sleep_until(second)
            await publisher.send([packet])
        with trio.fail_after(SILENCE):
            await h.wait_event(StreamWentOff, since=0)
        assert trio.current_time() == pytest.approx(9 + SILENCE, abs=1)
        await h.publish("live/show")  # the key is free
        await h.stop("live")
        h.assert_quiet()


async def test_a_cut_in_the_middle_of_a_message_loses_that_message_alone(autojump_clock: MockClock) -> None:
    packets = generate_stream(seconds=2, audio=False)
    recorder = Recorder()
    configuration = "workflow live {\n    rtmp_receive rtmp_app=live stream_key=*\n    record\n}\n"
    async with Harness(configuration, [recorder.step_type()]) as h:
        publisher = await h.publish("live/show", link=Link(up=Direction(latency=0.1, cut_after=15_000)))
        await publisher.send(packets)
        await h.wait_event(StreamWentOff, since=0)
        checker = StreamChecker(packets)
        checker.receive_packets(recorder.packets)
        report = checker.report()
        assert report.gaps == report.undecodable == report.altered == ()
        assert report.missed == tuple(range(len(recorder.packets), len(packets)))
        assert 10 < len(recorder.packets) < len(packets)
        with pytest.raises(Disconnected):
            await publisher.send(packets)


@pytest.mark.thorough
async def test_the_same_links_give_the_same_times(autojump_clock: MockClock) -> None:
    async def run() -> tuple[float, int]:
        began = trio.current_time()
        async with Harness(LIVE) as h, trio.open_nursery() as nursery:
            publisher = await h.publish("live/show", link=Link(up=Direction(bandwidth=50_000, latency=0.05), cut_at=30))
            watcher = await h.watch("live/show", link=Link(down=Direction(bandwidth=20_000)))
            nursery.start_soon(watcher.read_until_closed)
            await publisher.send(generate_stream(seconds=20))
            await wait_all_tasks_blocked()
            await h.wait_event(StreamWentOff, since=0)
            await h.stop("live")
        return trio.current_time() - began, len(watcher.packets)

    first = await run()
    assert await run() == pytest.approx(first)
