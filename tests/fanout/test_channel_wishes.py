"""Watchers with wishes: another message stream, no audio, no video, a pause."""

import trio

from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import MediaKind
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from tests.support.players import Player, feed, watch


def live_channel() -> Channel:
    channel = Channel(RtmpRendering())
    channel.begin_stream()
    return channel


def kinds(player: Player) -> set[MediaKind]:
    return {kind for kind, _, _ in player.media()}


async def test_another_message_stream_id_is_in_every_message(nursery: trio.Nursery) -> None:
    channel = live_channel()
    early = watch(channel, nursery, message_stream_id=70_000)
    packets = generate_stream(seconds=3, key_frame_bytes=200_000, start_timestamp=2**24 - 1000)
    await feed(channel, packets[:100])
    await early.read_all()
    late = watch(channel, nursery, message_stream_id=7)
    await feed(channel, packets[100:])
    channel.end_stream()
    await channel.send_pass()
    for player, stream_id in ((early, 70_000), (late, 7)):
        await player.read_all()
        controls = [message for message in player.messages if message.type_id == 4]
        assert {message.stream_id for message in player.messages if message.type_id != 4} == {stream_id}
        assert {message.payload[2:] for message in controls} == {stream_id.to_bytes(4, "big")}
        assert player.report(packets).is_flawless_from_join
    assert early.report(packets).missed == ()


async def test_without_audio_only_video_comes(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player, other = watch(channel, nursery), watch(channel, nursery)
    player.subscriber.receive_audio(False)
    packets = generate_stream(seconds=2)
    await feed(channel, packets, player, other)
    assert kinds(player) == {MediaKind.VIDEO}
    missed = {packets[place].kind for place in player.report(packets).missed}
    assert missed == {MediaKind.AUDIO}
    assert other.report(packets).missed == ()


async def test_audio_comes_back_with_its_header(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    player.subscriber.receive_audio(False)
    packets = generate_stream(seconds=2)
    await feed(channel, packets[:70], player)
    player.subscriber.receive_audio(True)
    await feed(channel, packets[70:], player)
    report = player.report(packets)
    assert report.undecodable == report.backwards == report.repeated == ()
    assert packets[max(report.missed) + 1 :]
    assert max(report.missed) < 70


async def test_without_video_only_audio_comes(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    player.subscriber.receive_video(False)
    packets = generate_stream(seconds=2)
    await feed(channel, packets, player)
    assert kinds(player) == {MediaKind.AUDIO}
    assert {packets[place].kind for place in player.report(packets).missed} == {MediaKind.VIDEO}


async def test_video_comes_back_with_a_key_frame_while_audio_goes_on(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=4)
    player.subscriber.receive_video(False)
    await feed(channel, packets[:100], player)
    player.subscriber.receive_video(True)
    await feed(channel, packets[100:], player)
    report = player.report(packets)
    assert report.undecodable == report.backwards == report.repeated == ()
    assert {packets[place].kind for place in report.missed} == {MediaKind.VIDEO}
    first_video = next(timestamp for kind, timestamp, data in player.media() if data[0] == 0x17 and data[1])
    assert first_video == 2000


async def test_a_slow_watcher_without_audio_misses_no_video(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=777)
    player.subscriber.receive_audio(False)
    packets = generate_stream(seconds=5)
    await feed(channel, packets)
    await player.read_all()
    assert {packets[place].kind for place in player.report(packets).missed} == {MediaKind.AUDIO}
    assert player.report(packets).undecodable == ()


async def test_wishes_from_before_playing_hold(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = Player.connected()
    nursery.start_soon(player.run)
    player.subscriber.receive_video(False)
    await feed(channel, generate_stream(seconds=1))
    channel.add(player.subscriber)
    player.read()
    assert kinds(player) == {MediaKind.AUDIO}


async def test_wishes_taken_back_before_playing_cost_nothing(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    player.subscriber.receive_audio(False)
    player.subscriber.receive_audio(True)
    assert player.subscriber.shares is channel.log


async def test_a_paused_watcher_gets_nothing_and_rejoins_at_a_key_frame(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=6)
    await feed(channel, packets[:100], player)
    player.subscriber.pause()
    got = len(player.messages)
    await feed(channel, packets[100:200], player)
    assert len(player.messages) == got
    assert player.subscriber.lag == (0, 0)  # it is behind by its own wish
    player.subscriber.resume()
    player.read()
    names = [name.partition("@")[0] for name in player.summary()[got:]]
    assert names[:4] == ["metadata", "header:video", "header:audio", "key:video"]
    await feed(channel, packets[200:], player)
    report = player.report(packets)
    assert report.undecodable == report.repeated == report.backwards == ()
    assert player.media()[-1][2] == packets[-1].data


async def test_a_watcher_that_resumes_in_the_same_group_of_pictures_waits_for_the_next(
    nursery: trio.Nursery,
) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=6)
    await feed(channel, packets[:105], player)
    player.subscriber.pause()
    player.subscriber.resume()
    got = len(player.messages)
    await feed(channel, packets[105:], player)
    names = [name.partition("@")[0] for name in player.summary()[got:]]
    assert names[:4] == ["metadata", "header:video", "header:audio", "key:video"]
    assert player.subscriber.counters.skipped_packets == 0
    report = player.report(packets)
    assert report.undecodable == report.repeated == report.backwards == ()
    assert packets[max(report.missed) + 1].is_key_frame


async def test_audio_resumes_without_a_key_frame_where_there_is_no_video(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=4, video=False)
    await feed(channel, packets[:50], player)
    player.subscriber.pause()
    await feed(channel, packets[50:60], player)
    player.subscriber.resume()
    await feed(channel, packets[60:], player)
    report = player.report(packets)
    assert report.missed == tuple(range(50, 59))
    assert report.undecodable == report.repeated == report.backwards == ()


async def test_a_pause_over_the_end_of_a_stream_resumes_in_the_next(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    await feed(channel, generate_stream(seconds=1), player)
    player.subscriber.pause()
    channel.end_stream()
    await channel.send_pass()
    channel.begin_stream()
    packets = generate_stream(seconds=3, seed=2)
    await feed(channel, packets[:100], player)
    player.subscriber.resume()
    await feed(channel, packets[100:], player)
    assert player.report(packets).is_flawless_from_join is False  # what came before the pause is unknown to it
    assert player.report(packets).undecodable == player.report(packets).backwards == ()
    assert player.media()[-1][2] == packets[-1].data


async def test_wishes_go_along_to_another_channel(nursery: trio.Nursery) -> None:
    first, second = live_channel(), live_channel()
    player = watch(first, nursery)
    packets, others = generate_stream(seconds=4), generate_stream(seconds=2, seed=2)
    player.subscriber.receive_audio(False)
    await feed(first, packets[:200], player)
    player.subscriber.receive_video(False)
    player.subscriber.receive_video(True)
    await feed(first, packets[200:], player)
    first.discard(player.subscriber)
    player.messages.clear()
    second.add(player.subscriber)
    await feed(second, others, player)
    assert {others[place].kind for place in player.report(others).missed} == {MediaKind.AUDIO}
    assert player.report(others).undecodable == ()


async def test_each_channel_counts_what_it_has_sent_itself(nursery: trio.Nursery) -> None:
    first, second = live_channel(), live_channel()
    player = watch(first, nursery)
    await feed(first, generate_stream(seconds=1), player)
    first.discard(player.subscriber)
    sent = len(player.received)
    second.add(player.subscriber)
    await feed(second, generate_stream(seconds=1), player)
    assert first.counters().bytes_sent == sent
    assert second.counters().bytes_sent == len(player.received) - sent
