"""What watchers get when all goes well, byte for byte, whenever they join."""

import pytest
from trio import Nursery

from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from tests.support.players import feed, watch

METADATA = {"width": 640.0, "videocodecid": 7.0, "audiocodecid": 10.0}


def live_channel() -> Channel:
    channel = Channel(RtmpRendering())
    channel.begin_stream()
    channel.metadata(METADATA)
    return channel


def rendered(packets: list[MediaPacket]) -> bytes:
    rendering = RtmpRendering()
    return b"".join(rendering.packet(packet, packet.timestamp) for packet in packets)


@pytest.mark.thorough
async def test_all_watchers_from_the_start_get_the_same_bytes(nursery: Nursery) -> None:
    channel = live_channel()
    players = [watch(channel, nursery) for _ in range(200)]
    packets = generate_stream(seconds=3)
    await feed(channel, packets, *players)
    rendering = RtmpRendering()
    expected = rendering.stream_begin() + rendering.metadata(METADATA, 0) + rendered(packets)
    assert {bytes(player.received) for player in players} == {expected}
    assert channel.counters().bytes_sent == len(expected) * 200


async def test_a_late_joiner_gets_metadata_headers_and_the_latest_group_of_pictures_at_once(
    nursery: Nursery,
) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=2.6)
    await feed(channel, packets)
    player = watch(channel, nursery)
    player.read()
    assert player.summary()[:4] == ["metadata", "header:video@2000", "header:audio@1996", "key:video@2000"]
    report = player.report(packets)
    assert report.is_flawless_from_join
    assert packets[min(set(range(2, len(packets))) - set(report.missed))].timestamp == 2000


async def test_a_late_joiner_goes_on_with_all_others(nursery: Nursery) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=5)
    early = watch(channel, nursery)
    await feed(channel, packets[:150], early)
    late = watch(channel, nursery)
    await feed(channel, packets[150:], early, late)
    assert early.report(packets).missed == ()
    assert late.report(packets).is_flawless_from_join
    assert early.received.endswith(rendered(packets[150:]))
    assert late.received.endswith(rendered(packets[150:]))


async def test_packets_fed_together_arrive_in_order(nursery: Nursery) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=1)
    player = watch(channel, nursery)
    for packet in packets:
        channel.packet(packet)
    await channel.send_pass()
    player.read()
    assert player.report(packets).missed == ()
    assert player.report(packets).is_flawless_from_join


@pytest.mark.thorough
async def test_watchers_that_join_at_different_times_before_one_pass_get_no_byte_twice(
    nursery: Nursery,
) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=2)
    players = []
    for packet in packets:
        channel.packet(packet)
        players.append(watch(channel, nursery))
    await channel.send_pass()
    for player in players:
        await player.read_all()
        assert player.report(packets).is_flawless_from_join
        assert player.media()[-1][2] == packets[-1].data


async def test_a_stream_without_metadata_gets_some_made_from_its_headers(nursery: Nursery) -> None:
    channel = Channel(RtmpRendering())
    channel.begin_stream()
    player = watch(channel, nursery)
    await feed(channel, generate_stream(seconds=0.2), player)
    assert player.summary()[:4] == ["begin", "metadata", "header:video@0", "header:audio@0"]
    name, values = amf.decode_all(player.messages[1].payload)
    assert name == "onMetaData"
    assert isinstance(values, amf.EcmaArray)
    assert values == {"videocodecid": 7, "audiocodecid": 10}


async def test_video_before_the_first_key_frame_is_not_sent(nursery: Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=2, audio=False)
    await feed(channel, [packets[0], *packets[10:]], player)
    assert player.summary()[:4] == ["begin", "metadata", "header:video@1000", "key:video@1000"]
    assert player.report(packets).undecodable == ()


async def test_an_audio_only_stream_is_joined_at_its_newest_packet(nursery: Nursery) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=2, video=False)
    await feed(channel, packets)
    player = watch(channel, nursery)
    player.read()
    newest = packets[-1].timestamp
    assert player.summary() == ["metadata", f"header:audio@{newest}", f"audio@{newest}"]


async def test_an_audio_only_stream_keeps_no_more_than_a_late_joiner_gets(nursery: Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    await feed(channel, generate_stream(seconds=5, video=False), player)
    assert channel.log.end_index - channel.log.first_index == 1


async def test_only_the_current_group_of_pictures_is_kept_while_all_keep_up(nursery: Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=8, audio=False)
    await feed(channel, packets, player)
    assert channel.log.end_index - channel.log.first_index == 25


async def test_new_sequence_headers_and_metadata_reach_everyone(nursery: Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    await feed(channel, generate_stream(seconds=1, audio=False), player)
    header = MediaPacket(
        generate_stream(seconds=0)[0].stream_id,
        MediaKind.VIDEO,
        1000,
        b"\x17\0\0\0\0other",
        "avc1",
        is_sequence_header=True,
    )
    channel.metadata({"width": 1280.0})
    await feed(channel, [header], player)
    assert player.summary()[-2:] == ["metadata", "header:video@1000"]
    late = watch(channel, nursery)
    late.read()
    assert [message.payload for message in late.messages if message.payload == header.data] == [header.data]


async def test_empty_packets_are_ignored(nursery: Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery)
    packets = generate_stream(seconds=0.1)
    empty = MediaPacket(packets[0].stream_id, MediaKind.AUDIO, 0, b"")
    await feed(channel, [empty, *packets, empty], player)
    assert len(player.media()) == len(packets)
