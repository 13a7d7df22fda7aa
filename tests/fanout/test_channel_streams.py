"""Streams that end and return while the watchers stay."""

import pytest
import trio

from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from tests.support.players import Player, feed, watch


async def play(channel: Channel, packets: list[MediaPacket], *readers: Player) -> None:
    channel.begin_stream()
    await feed(channel, packets, *readers)
    channel.end_stream()
    await channel.send_pass()
    for player in readers:
        player.read()


def timestamps(player: Player, kind: MediaKind) -> list[int]:
    return [timestamp for received, timestamp, _ in player.media() if received is kind]


async def test_a_watcher_that_came_before_the_stream_is_served_when_it_starts(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    assert player.read() == 0
    packets = generate_stream(seconds=1)
    await play(channel, packets, player)
    assert player.summary()[:5] == ["begin", "metadata", "header:video@0", "header:audio@0", "key:video@0"]
    assert player.summary()[-1] == "end"
    assert player.report(packets).missed == ()


async def test_watchers_stay_for_the_next_stream_and_get_its_headers(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await play(channel, generate_stream(seconds=1), player)
    player.messages.clear()
    packets = generate_stream(seconds=1, seed=2)
    await play(channel, packets, player)
    names = [name.partition("@")[0] for name in player.summary()]
    assert names[:5] == ["begin", "metadata", "header:video", "header:audio", "key:video"]
    assert names[-1] == "end"
    assert player.report(packets).missed == ()
    assert player.report(packets).is_flawless_from_join


@pytest.mark.parametrize("start", [0, 500, 999, 5_000, 2**32 - 500, 2**32 - 20_000])
async def test_timestamps_never_go_backwards_over_streams(nursery: trio.Nursery, start: int) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await play(channel, generate_stream(seconds=1, start_timestamp=2**32 - 600), player)
    await play(channel, generate_stream(seconds=1, seed=2, start_timestamp=start), player)
    for kind in (MediaKind.AUDIO, MediaKind.VIDEO):
        steps = [(b - a) % 2**32 for a, b in zip(timestamps(player, kind), timestamps(player, kind)[1:], strict=False)]
        assert len(steps) > 40
        assert max(steps) < 2**31


async def test_a_stream_that_starts_lower_goes_on_right_behind_the_last(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await play(channel, generate_stream(seconds=2, audio=False, start_timestamp=70_000), player)
    await play(channel, generate_stream(seconds=2, audio=False, seed=2), player)
    assert timestamps(player, MediaKind.VIDEO)[-50:] == [71_961 + 40 * n for n in range(50)]


async def test_a_stream_that_starts_just_before_the_end_of_the_last_does_not_stand_still(
    nursery: trio.Nursery,
) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await play(channel, generate_stream(seconds=1), player)
    before = len(timestamps(player, MediaKind.VIDEO))
    await play(channel, generate_stream(seconds=1, seed=2, start_timestamp=500), player)
    _, *after = timestamps(player, MediaKind.VIDEO)[before:]  # without the header
    assert len(after) > 20
    assert after == sorted(set(after))


async def test_a_late_joiner_between_two_streams_gets_nothing_of_the_first(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    await play(channel, generate_stream(seconds=1))
    player = watch(channel, nursery)
    assert player.read() == 0
    await play(channel, generate_stream(seconds=1, seed=2), player)
    assert player.summary()[0] == "begin"
    assert player.summary().count("end") == 1


async def test_a_late_joiner_before_the_first_frame_of_a_stream_gets_all_of_it(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    packets = generate_stream(seconds=1)
    channel.begin_stream()
    for packet in packets[:2]:
        channel.packet(packet)
    player = watch(channel, nursery)
    await feed(channel, packets[2:], player)
    assert player.report(packets).missed == ()


async def test_an_ended_stream_is_forgotten_once_all_have_got_it(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    quick = watch(channel, nursery)
    await play(channel, generate_stream(seconds=1), quick)
    assert channel.log.size == 0


async def test_a_slow_watcher_gets_the_rest_of_an_ended_stream_before_its_end(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    slow = watch(channel, nursery, buffer_size=500)
    packets = generate_stream(seconds=3)
    await play(channel, packets)
    await slow.read_all()
    assert slow.report(packets).missed == ()
    assert slow.summary()[-1] == "end"
    assert channel.log.size == 0


async def test_an_ended_stream_is_forgotten_when_the_last_who_needed_it_leaves(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    slow = watch(channel, nursery, buffer_size=500)
    await play(channel, generate_stream(seconds=3))
    assert channel.log.size > 0
    channel.discard(slow.subscriber)
    assert channel.log.size == 0


async def test_a_slow_watcher_misses_nothing_over_the_seam_of_two_streams(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    slow = watch(channel, nursery, buffer_size=500)
    first, second = generate_stream(seconds=3), generate_stream(seconds=3, seed=2, start_timestamp=9_000_000)
    await play(channel, first)
    await play(channel, second)
    await slow.read_all()
    assert slow.report([*first, *second]).missed == ()
    assert slow.summary().count("begin") == slow.summary().count("end") == 2


async def test_who_waits_for_a_key_frame_when_the_stream_ends_is_told_and_gets_the_next(
    nursery: trio.Nursery,
) -> None:
    channel = Channel(RtmpRendering(), gop_cache=False)
    channel.begin_stream()
    await feed(channel, generate_stream(seconds=15, gop=10_000))
    player = watch(channel, nursery)
    channel.end_stream()
    packets = generate_stream(seconds=1, seed=2)
    await play(channel, packets, player)
    assert player.summary()[:2] == ["end", "begin"]
    assert player.report(packets).missed == ()


async def test_a_stream_that_starts_while_another_is_live_ends_that(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    channel.begin_stream()
    await feed(channel, generate_stream(seconds=1), player)
    await play(channel, generate_stream(seconds=1, seed=2), player)
    assert [name for name in player.summary() if name in ("begin", "end")] == ["begin", "end"] * 2


async def test_a_stream_without_a_frame_is_never_announced(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await play(channel, generate_stream(seconds=1)[:2], player)
    assert player.summary() == []


async def test_packets_outside_a_stream_are_ignored(nursery: trio.Nursery) -> None:
    channel = Channel(RtmpRendering())
    player = watch(channel, nursery)
    await feed(channel, generate_stream(seconds=1), player)
    assert player.summary() == []
