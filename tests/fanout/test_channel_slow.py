"""Watchers that do not keep up: what they miss, what they cost, and that nobody else notices."""

import pytest
import trio
import trio.testing
from attrs import evolve

from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import MAX_SEND, MAX_SENDS_PER_TURN, STALL_SECONDS, OutputEnd
from mmids_trio.fanout.stream_log import StreamLog
from mmids_trio.media.events import MediaKind
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import VIDEO_HEADER, generate_stream
from tests.support.players import Player, feed, watch

OTHER_VIDEO_HEADER = VIDEO_HEADER[:-1] + b"\x81"
"""Of another picture parameter set."""


def live_channel(log: StreamLog | None = None) -> Channel:
    channel = Channel(RtmpRendering(), log=log or StreamLog())
    channel.begin_stream()
    return channel


async def test_a_watcher_that_reads_late_misses_nothing_within_the_log(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1000)
    packets = generate_stream(seconds=9)
    await feed(channel, packets)
    assert player.output.blocked
    await player.read_all()
    assert player.report(packets).missed == ()
    assert player.report(packets).is_flawless_from_join
    assert not player.output.blocked
    assert channel.counters().skips == 0


async def test_a_slow_watcher_skips_to_a_key_frame_and_recovers(nursery: trio.Nursery) -> None:
    channel = live_channel()
    slow, quick = watch(channel, nursery, buffer_size=4000), watch(channel, nursery)
    packets = generate_stream(seconds=20)
    await feed(channel, packets[:1000], quick)
    await slow.read_all()
    counters = slow.subscriber.counters
    await feed(channel, packets[1000:], quick, slow)
    report = slow.report(packets)
    assert report.undecodable == report.repeated == report.backwards == ()
    assert counters.skips == 1
    assert counters.skipped_packets == len(report.gaps) > 100
    assert channel.counters().skipped_packets == counters.skipped_packets
    assert packets[report.gaps[-1] + 1].is_key_frame
    assert slow.media()[-1][2] == packets[-1].data
    assert quick.report(packets).missed == ()


async def test_a_skip_over_new_headers_brings_them(nursery: trio.Nursery) -> None:
    channel = live_channel()
    slow = watch(channel, nursery, buffer_size=2000)
    packets = generate_stream(seconds=20, audio=False)
    await feed(channel, packets[:100])
    channel.metadata({"width": 1280.0})
    await feed(channel, packets[100:])
    await slow.read_all()
    after_skip = slow.summary()[-300:]
    place = next(place for place, name in enumerate(after_skip) if name == "metadata")
    assert after_skip[place + 1].startswith("header:video")
    assert after_skip[place + 2].startswith("key:video")


async def test_a_skip_over_nothing_new_repeats_no_headers(nursery: trio.Nursery) -> None:
    channel = live_channel()
    slow = watch(channel, nursery, buffer_size=2000)
    await feed(channel, generate_stream(seconds=20, audio=False))
    await slow.read_all()
    assert slow.subscriber.counters.skips == 1
    assert slow.summary().count("header:video@0") == 1
    assert [name for name in slow.summary() if name.startswith(("metadata", "header"))] == [
        "metadata",
        "header:video@0",
    ]


async def test_a_watcher_that_jumps_three_times_without_catching_up_is_given_up(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel(StreamLog(max_ms=2000))
    player = watch(channel, nursery, buffer_size=1000)
    for packet in generate_stream(seconds=60, audio=False):
        channel.packet(packet)
        await channel.send_pass()
        if packet.is_key_frame:
            player.read()
            await trio.testing.wait_all_tasks_blocked()
        if player.outcome is not None:
            break
    assert player.outcome is OutputEnd.TOO_SLOW
    assert player.subscriber.counters.skips == 3
    channel.discard(player.subscriber)
    assert channel.counters().disconnects == 1
    assert channel.counters().skips == 3


async def test_skips_count_anew_after_a_watcher_has_caught_up(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=2000)
    packets = generate_stream(seconds=80, audio=False)
    for start in range(0, len(packets), 400):
        await feed(channel, packets[start : start + 400])
        await player.read_all()
    assert player.outcome is None
    assert player.subscriber.counters.skips >= 4
    assert player.report(packets).undecodable == ()


@pytest.mark.thorough
async def test_a_watcher_that_never_reads_costs_a_bounded_amount_and_is_disconnected(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    channel = live_channel()
    deaf = watch(channel, nursery)
    quick = [watch(channel, nursery) for _ in range(3)]
    packets = generate_stream(seconds=600, fps=10, gop=20, audio=False)
    largest_log = largest_queue = 0
    gave_up = None
    for packet in packets:
        await trio.sleep(packet.timestamp / 1000 - trio.current_time())
        channel.packet(packet)
        await channel.send_pass()
        largest_log = max(largest_log, channel.log.size)
        largest_queue = max(largest_queue, deaf.output.queued_bytes)
        for player in quick:
            player.read()
        if deaf.outcome is not None and gave_up is None:
            gave_up = trio.current_time()
            channel.discard(deaf.subscriber)
    assert deaf.outcome is OutputEnd.STALLED
    assert gave_up is not None
    assert STALL_SECONDS <= gave_up < STALL_SECONDS + 20
    assert largest_queue < 2_100
    assert largest_log < 600_000
    assert all(player.report(packets).missed == () for player in quick)
    assert all(player.report(packets).is_flawless_from_join for player in quick)
    assert channel.counters().disconnects == 1


@pytest.mark.thorough
async def test_the_log_stays_bounded_when_a_watcher_is_slow_and_key_frames_never_come(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel(StreamLog(max_bytes=100_000))
    deaf, quick = watch(channel, nursery), watch(channel, nursery)
    packets = generate_stream(seconds=600, gop=1_000_000, audio=False)
    largest = 0
    for packet in packets:
        await feed(channel, [packet], quick)
        largest = max(largest, channel.log.size)
    assert largest <= 100_000
    assert quick.report(packets).missed == ()
    assert deaf.outcome is None
    await deaf.read_all()
    assert (deaf.subscriber.skips, deaf.outcome) == (1, None)  # it waits for one


async def test_a_late_joiner_begins_with_a_group_of_pictures_that_is_longer_than_what_slow_watchers_get(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel(StreamLog(max_ms=2000))
    packets = generate_stream(seconds=55, fps=5, gop=250)
    await feed(channel, packets[:-500])
    late = watch(channel, nursery)
    await late.read_all()
    await feed(channel, packets[-500:], late)
    assert late.summary()[:4] == ["metadata", "header:video@0", "header:audio@0", "key:video@0"]
    assert late.report(packets).is_flawless_from_join


async def test_where_the_group_of_pictures_cannot_be_kept_a_late_joiner_has_sound_at_once(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel(StreamLog(max_group_bytes=100_000))
    packets = generate_stream(seconds=40, gop=500)
    await feed(channel, packets[:1100])
    late = watch(channel, nursery)
    await feed(channel, packets[1100:], late)
    got = late.media()
    began = packets[1100].timestamp
    assert late.summary()[0] == "metadata"
    sound = [packet.data for packet in packets if packet.kind is MediaKind.AUDIO and packet.timestamp >= began]
    assert [data for kind, _, data in got if data in set(sound)] == sound
    pictures = [packet.data for packet in packets if packet.kind is MediaKind.VIDEO and packet.timestamp >= 20_000]
    assert [data for _, _, data in got if data in set(pictures)] == pictures
    assert not {packet.data for packet in packets if 0 < packet.timestamp < began} & {data for _, _, data in got}
    assert late.subscriber.shares is channel.log  # and from then on it is one of all


async def test_without_sound_a_late_joiner_waits_where_the_group_of_pictures_cannot_be_kept(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel(StreamLog(max_group_bytes=100_000))
    packets = generate_stream(seconds=30, gop=500, audio=False)
    await feed(channel, packets[:400])
    late = watch(channel, nursery)
    assert late.read() == 0
    await feed(channel, packets[400:], late)
    assert late.summary()[:3] == ["metadata", "header:video@20000", "key:video@20000"]
    assert late.report(packets).is_flawless_from_join


async def test_without_key_frames_in_time_jumps_count_as_well(nursery: trio.Nursery) -> None:
    channel = live_channel(StreamLog(max_ms=2000))
    player = watch(channel, nursery, buffer_size=1000)
    for packet in generate_stream(seconds=60, gop=150, audio=False):
        await feed(channel, [packet])
        if packet.timestamp % 3000 == 0:
            player.read()
            await trio.testing.wait_all_tasks_blocked()
    assert player.outcome is OutputEnd.TOO_SLOW


@pytest.mark.thorough
async def test_more_than_the_log_holds_in_one_go_is_a_skip_even_for_the_quick(nursery: trio.Nursery) -> None:
    channel = live_channel(StreamLog(max_ms=2000))
    players = [watch(channel, nursery) for _ in range(3)]
    packets = generate_stream(seconds=10)
    await feed(channel, packets[:20], *players)
    for packet in packets[20:]:
        channel.packet(packet)
    await channel.send_pass()
    for player in players:
        await player.read_all()
        report = player.report(packets)
        assert report.undecodable == report.repeated == report.backwards == ()
        assert report.unknown == 0
        assert player.subscriber.counters.skipped_packets == len(report.gaps) > 100
        assert player.media()[-1][2] == packets[-1].data


async def test_a_late_joiner_with_a_good_connection_gets_its_backlog_in_turns() -> None:
    channel = live_channel()
    await feed(channel, generate_stream(seconds=1, key_frame_bytes=4_000_000))
    player = Player.connected(buffer_size=10_000_000)
    channel.add(player.subscriber)  # its own task does not run yet
    sent = len(player.far_end.receive_nowait(10_000_000))
    assert 0 < sent <= MAX_SEND * MAX_SENDS_PER_TURN


@pytest.mark.thorough
async def test_a_message_larger_than_a_send_arrives_whole(nursery: trio.Nursery) -> None:
    channel = live_channel()
    players: list[Player] = [
        watch(channel, nursery, buffer_size=10_000_000),
        watch(channel, nursery, buffer_size=300_000),
        watch(channel, nursery, buffer_size=5_000),
    ]
    packets = generate_stream(seconds=2, key_frame_bytes=3_000_000)
    await feed(channel, packets)
    for player in players:
        await player.read_all()
        assert player.report(packets).missed == ()
        assert player.report(packets).is_flawless_from_join


async def test_other_tasks_run_during_a_pass_over_many(nursery: trio.Nursery) -> None:
    channel = live_channel()
    players = [watch(channel, nursery) for _ in range(300)]
    await trio.testing.wait_all_tasks_blocked()
    seen: list[int] = []

    async def look() -> None:
        while True:
            seen.append(sum(player.far_end.receive_nowait() != b"" for player in players))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(look)
    for packet in generate_stream(seconds=0.04)[:3]:
        channel.packet(packet)
    await channel.send_pass()
    assert max(seen) <= 128
    assert sum(seen) >= 192
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("change", [{"width": 1280.0}, OTHER_VIDEO_HEADER], ids=["metadata", "header"])
@pytest.mark.parametrize("buffer_size", [2_000, 3_001, 4_567])
async def test_a_skip_that_begins_exactly_at_new_headers_brings_them(
    nursery: trio.Nursery, change: dict[str, object] | bytes, buffer_size: int
) -> None:
    """The first thing that the watcher does not get is the change itself."""
    channel = live_channel()
    slow = watch(channel, nursery, buffer_size=buffer_size)
    packets = generate_stream(seconds=20, audio=False)
    sent = 0
    while not slow.output.blocked:
        await feed(channel, packets[sent : sent + 1])
        sent += 1
    if isinstance(change, bytes):
        channel.packet(evolve(packets[0], data=change, timestamp=packets[sent].timestamp))
    else:
        channel.metadata(change)
    await feed(channel, packets[sent:])
    await slow.read_all()
    assert slow.subscriber.counters.skips == 1
    names = slow.summary()
    place = max(place for place, name in enumerate(names) if name.startswith("header:video"))
    assert place > names.index("header:video@0")
    assert names[place - 1] == "metadata"
    assert names[place + 1].startswith("key:video")
    if isinstance(change, bytes):
        assert change in [data for _, _, data in slow.media()]
