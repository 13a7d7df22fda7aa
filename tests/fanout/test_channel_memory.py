"""What a channel and its watchers hold, whatever a publisher sends and a player asks for."""

from collections.abc import Mapping, Sequence

import trio
import trio.testing
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import MAX_QUEUED_REPLIES, STALL_SECONDS
from mmids_trio.fanout.stream_log import ENTRY_OVERHEAD, MAX_GROUP_MS, StreamLog
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.tracks import MAX_HEADER_BYTES
from mmids_trio.rtmp.protocol.control import acknowledgement
from mmids_trio.rtmp.protocol.outgoing import render
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from tests.support.effort import some_of
from tests.support.players import feed, watch

STREAM = StreamId("s")
LARGE_METADATA = {"a": "x" * 50_000}
LARGEST_MESSAGE = 60_000
"""Above all that `PACKETS` has, and above the metadata."""
PACKETS = generate_stream(seconds=40, key_frame_bytes=5_000)


@define
class CountingRendering(RtmpRendering):
    """Counts the bytes that were rendered, other than frames."""

    prefaces: int = 0

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        data = super().packet(packet, timestamp)
        self.prefaces += len(data) if packet.is_sequence_header else 0
        return data

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        data = super().metadata(values, timestamp)
        self.prefaces += len(data)
        return data


def live_channel(rendering: RtmpRendering | None = None, log: StreamLog | None = None) -> Channel:
    channel = Channel(rendering=rendering or RtmpRendering(), log=log or StreamLog())
    channel.begin_stream()
    return channel


def key_frame(timestamp: int) -> MediaPacket:
    return MediaPacket(STREAM, MediaKind.VIDEO, timestamp, b"\x17\x01\0\0\0key", "avc1", is_key_frame=True)


def header(data: bytes) -> MediaPacket:
    return MediaPacket(STREAM, MediaKind.VIDEO, 0, data, "avc1", is_sequence_header=True)


async def test_tiny_key_frames_after_large_metadata_cost_what_they_are(nursery: trio.Nursery) -> None:
    rendering = CountingRendering()
    channel = live_channel(rendering)
    channel.metadata(LARGE_METADATA)
    channel.packet(header(b"\x17\0\0\0\0" + bytes(1_000)))
    watch(channel, nursery, buffer_size=100)
    await feed(channel, [key_frame(timestamp) for timestamp in range(1_000)])
    assert channel.log.end_index - channel.log.first_index > 1_000  # nobody has read them
    assert rendering.prefaces < 2 * (50_000 + 1_000)


async def test_metadata_that_changes_with_every_key_frame_counts_against_the_log(nursery: trio.Nursery) -> None:
    channel = live_channel(log=StreamLog(max_bytes=1_000_000))
    watch(channel, nursery, buffer_size=100)
    for number in range(100):
        channel.metadata({**LARGE_METADATA, "number": float(number)})
        await feed(channel, [key_frame(number)])
    log = channel.log
    kept = [log.entry(index) for index in range(log.first_index, log.end_index)]
    assert sum(entry.is_key_frame for entry in kept) <= 1_000_000 // (2 * 50_000)
    assert log.size <= 1_000_000


async def test_a_header_too_large_to_keep_reaches_those_who_are_here_and_is_counted(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1_000_000)
    too_large = header(b"\x17\0\0\0\0" + bytes(MAX_HEADER_BYTES))
    await feed(channel, [header(b"\x17\0\0\0\0small"), key_frame(0), too_large, key_frame(40)], player)
    await player.read_all()
    assert too_large.data in [data for _, _, data in player.media()]
    late = watch(channel, nursery)
    late.read()
    assert late.summary() == ["metadata", "key:video@40"]
    assert channel.counters().refused_headers == 1
    channel.end_stream()
    channel.begin_stream()
    assert channel.counters().refused_headers == 1


async def test_wishes_of_a_player_that_does_not_read_cost_nothing(nursery: trio.Nursery) -> None:
    channel = live_channel()
    channel.metadata(LARGE_METADATA)
    player = watch(channel, nursery, buffer_size=1_000)
    await feed(channel, PACKETS[:100])
    queued = player.output.queued_bytes
    for _ in range(100):
        player.subscriber.receive_audio(False)
        player.subscriber.receive_audio(True)
        player.subscriber.pause()
        player.subscriber.resume()
    assert player.output.queued_bytes == queued
    await feed(channel, PACKETS[100:])
    await player.read_all()
    assert player.report(PACKETS).undecodable == ()


async def test_audio_wanted_again_by_a_blocked_player_brings_its_header_once(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1_000)
    await feed(channel, PACKETS[:100])
    await trio.testing.wait_all_tasks_blocked()
    headers = sum(name.startswith("header:audio") for name in player.summary())
    for _ in range(5):
        player.subscriber.receive_audio(False)
        player.subscriber.receive_audio(True)
    await player.read_all()
    # One of the stream's beginning, one for the wish.
    assert sum(name.startswith("header:audio") for name in player.summary()) - headers == 2
    assert player.report(PACKETS[:100]).missed == ()


async def test_a_player_that_reads_just_enough_not_to_be_stalled_costs_a_bounded_amount(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    channel = live_channel(log=StreamLog(max_bytes=300_000))
    channel.metadata(LARGE_METADATA)
    player = watch(channel, nursery, buffer_size=1_000)
    largest = 0
    for number, packet in enumerate(PACKETS):
        await feed(channel, [packet])
        player.subscriber.receive_audio(number % 2 == 0)
        if number % 10 == 0:
            player.subscriber.pause()
            player.subscriber.resume()
            await trio.sleep(STALL_SECONDS - 1)
            player.read(10)
        largest = max(largest, player.output.queued_bytes)
        assert channel.log.size <= 300_000
    assert player.outcome is None
    assert largest <= LARGEST_MESSAGE


@given(
    buffer_size=st.sampled_from([900, 5_000, 64_000]),
    max_ms=st.sampled_from([1_500, 10_000]),
    actions=st.lists(
        st.sampled_from(["packets", "packets", "read", "audio", "mute", "pause", "resume", "metadata", "reply"]),
        min_size=20,
        max_size=150,
    ),
)
@settings(max_examples=some_of(60), deadline=None)
async def test_the_queue_is_bounded_and_the_stream_decodable_whatever_is_wished_for(
    buffer_size: int, max_ms: int, actions: list[str]
) -> None:
    async with trio.open_nursery() as nursery:
        channel = live_channel(log=StreamLog(max_ms=max_ms))
        channel.metadata(LARGE_METADATA)
        player = watch(channel, nursery, buffer_size=buffer_size)
        fed = 0
        for number, action in enumerate(actions):
            if action == "packets":
                await feed(channel, PACKETS[fed : fed + 20])
                fed += 20
            elif action == "read":
                await trio.testing.wait_all_tasks_blocked()
                player.read()
            elif action in ("audio", "mute"):
                player.subscriber.receive_audio(action == "audio")
            elif action == "pause":
                player.subscriber.pause()
            elif action == "resume":
                player.subscriber.resume()
            elif action == "metadata":
                channel.metadata({"number": float(number)})
            else:
                player.output.write(render(acknowledgement(number)))
            assert player.output.queued_bytes <= LARGEST_MESSAGE + MAX_QUEUED_REPLIES
        await player.read_all()
        report = player.report(PACKETS[:fed])
        assert report.undecodable == report.repeated == report.backwards == ()
        assert report.unknown == 0
        nursery.cancel_scope.cancel()


def held_for(packets: Sequence[MediaPacket]) -> int:
    """Bytes that a log holds for these packets."""
    return sum(len(packet.data) + ENTRY_OVERHEAD for packet in packets)


async def test_a_key_that_nobody_watches_holds_the_current_group_of_pictures_and_its_headers_alone() -> None:
    channel = live_channel()
    headers = held_for([packet for packet in PACKETS if packet.is_sequence_header])
    group: list[MediaPacket] = []
    for packet in PACKETS:
        await feed(channel, [packet])
        group = [packet] if packet.is_key_frame else [*group, packet]
        assert channel.log.size <= held_for(group) + headers + 3 * ENTRY_OVERHEAD
    assert channel.log.size >= held_for(group)
    assert held_for(PACKETS) > 5 * channel.log.size


async def test_a_key_that_nobody_watches_holds_no_media_where_late_joiners_wait_for_a_key_frame() -> None:
    channel = Channel(rendering=RtmpRendering(), log=StreamLog(max_group_ms=0), gop_cache=False)
    channel.begin_stream()
    await feed(channel, PACKETS)
    assert channel.log.size == 0


async def test_who_joins_a_log_that_holds_nothing_begins_at_the_next_key_frame(nursery: trio.Nursery) -> None:
    channel = Channel(rendering=RtmpRendering(), log=StreamLog(max_group_ms=0), gop_cache=False)
    channel.begin_stream()
    packets = generate_stream(seconds=3.6)
    before = [packet for packet in packets if packet.timestamp < 1_500]
    await feed(channel, before)
    player = watch(channel, nursery)
    await feed(channel, packets[len(before) :], player)
    assert player.summary()[:4] == ["metadata", "header:video@2000", "header:audio@1996", "key:video@2000"]
    assert player.report(packets).is_flawless_from_join


async def test_who_joins_when_groups_are_kept_again_waits_for_one(nursery: trio.Nursery) -> None:
    channel = Channel(rendering=RtmpRendering(), log=StreamLog(max_group_ms=0), gop_cache=False)
    channel.begin_stream()
    packets = generate_stream(seconds=3.6)
    before = [packet for packet in packets if packet.timestamp < 1_500]
    await feed(channel, before)
    channel.gop_cache, channel.log.max_group_ms = True, MAX_GROUP_MS
    assert not channel.has_sound_alone
    player = watch(channel, nursery)
    await feed(channel, packets[len(before) :], player)
    assert player.report(packets).is_flawless_from_join
    assert player.summary()[3] == "key:video@2000"
