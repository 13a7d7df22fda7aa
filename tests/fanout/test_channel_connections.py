"""Replies between media, connections that break, and watchers that come and go in the middle of a pass."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import MAX_QUEUED_REPLIES, STALL_SECONDS, OutputEnd
from mmids_trio.rtmp.protocol.control import acknowledgement
from mmids_trio.rtmp.protocol.outgoing import render
from mmids_trio.rtmp.rendering import RtmpRendering
from mmids_trio.testing.media import generate_stream
from tests.support.effort import some_of
from tests.support.players import Player, feed, watch

PACKETS = generate_stream(seconds=3, key_frame_bytes=70_000)


def live_channel() -> Channel:
    channel = Channel(RtmpRendering())
    channel.begin_stream()
    return channel


@given(
    buffer_size=st.sampled_from([900, 5_000, 64_000]),
    actions=st.lists(
        st.sampled_from(["packet", "packet", "pass", "reply", "read", "settle"]), min_size=100, max_size=400
    ),
    reads=st.integers(1, 5_000),
    stream_id=st.sampled_from([1, 5]),
)
@settings(max_examples=some_of(60), deadline=None)
async def test_replies_never_break_the_framing(
    buffer_size: int, actions: list[str], reads: int, stream_id: int
) -> None:
    async with trio.open_nursery() as nursery:
        channel = live_channel()
        player = watch(channel, nursery, buffer_size=buffer_size, message_stream_id=stream_id)
        packets = PACKETS
        fed = replies = 0
        for action in actions:
            if action == "packet" and fed < len(packets):
                channel.packet(packets[fed])
                fed += 1
            elif action == "pass":
                await channel.send_pass()
            elif action == "reply":
                replies += 1
                player.output.write(render(acknowledgement(replies)))
            elif action == "read":
                player.read(reads)
            elif action == "settle":
                await trio.testing.wait_all_tasks_blocked()
        await channel.send_pass()
        await player.read_all()
        answers = [int.from_bytes(message.payload, "big") for message in player.messages if message.type_id == 3]
        assert answers == list(range(1, replies + 1))
        assert player.report(packets[:fed]).missed == ()
        assert player.report(packets[:fed]).is_flawless_from_join
        nursery.cancel_scope.cancel()


async def test_a_reply_goes_out_between_two_messages_while_much_media_waits(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1_000)
    await feed(channel, generate_stream(seconds=5))
    player.output.write(render(acknowledgement(77)))
    await player.read_all()
    types = [message.type_id for message in player.messages]
    assert types.index(3) < 10
    assert len(types) > 300


async def test_a_client_that_asks_without_reading_is_disconnected() -> None:
    player = Player.connected(buffer_size=100)
    reply = render(acknowledgement(1)) * 256
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(player.run)
            for _ in range(MAX_QUEUED_REPLIES // len(reply) + 100):
                player.output.write(reply)
                assert player.output.queued_bytes <= MAX_QUEUED_REPLIES
    assert player.outcome is OutputEnd.FLOODED


async def test_a_watcher_whose_connection_breaks_ends_and_the_others_go_on(nursery: trio.Nursery) -> None:
    channel = live_channel()
    players = [watch(channel, nursery) for _ in range(5)]
    packets = generate_stream(seconds=2)
    await feed(channel, packets[:50], *players)
    players[1].far_end.reset()
    players[3].far_end.close()
    healthy = [players[0], players[2], players[4]]
    await feed(channel, packets[50:], *healthy)
    await trio.testing.wait_all_tasks_blocked()
    assert players[1].outcome is players[3].outcome is OutputEnd.BROKEN
    assert all(player.report(packets).missed == () for player in healthy)


async def test_a_connection_that_breaks_while_it_is_blocked_ends_its_watcher(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=100)
    await feed(channel, generate_stream(seconds=1))
    player.far_end.reset()
    await trio.testing.wait_all_tasks_blocked()
    assert player.outcome is OutputEnd.BROKEN
    await feed(channel, generate_stream(seconds=1, seed=2))


async def test_a_transport_closed_here_without_leaving_the_channel_harms_no_pass(nursery: trio.Nursery) -> None:
    channel = live_channel()
    idle, blocked = watch(channel, nursery), watch(channel, nursery, buffer_size=100)
    packets = generate_stream(seconds=1)
    await feed(channel, packets[:20], idle)
    assert blocked.output.blocked
    idle.output.transport.close()
    blocked.output.transport.close()
    await feed(channel, packets[20:])
    await trio.testing.wait_all_tasks_blocked()
    assert idle.outcome is blocked.outcome is OutputEnd.BROKEN


@pytest.mark.thorough
async def test_watchers_may_come_go_and_move_in_the_middle_of_a_pass(nursery: trio.Nursery) -> None:
    channel, other = live_channel(), live_channel()
    players = [watch(channel, nursery) for _ in range(200)]
    packets, others = generate_stream(seconds=1), generate_stream(seconds=1, seed=2)
    await feed(channel, packets[:30], *players)
    await feed(other, others[:30])
    joined: list[Player] = []

    async def stir() -> None:
        for leaving in players[150:160]:
            channel.discard(leaving.subscriber)
        for moving in players[160:170]:
            channel.discard(moving.subscriber)
            other.add(moving.subscriber)
        joined.extend(watch(channel, nursery) for _ in range(5))

    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(stir)
    await feed(channel, packets[30:], *players[:150], *players[170:])
    assert len(joined) == 5
    for player in [*players[:150], *players[170:]]:
        assert player.report(packets).missed == ()
    for player in joined:
        player.read()
        assert player.report(packets).is_flawless_from_join
        assert player.media()[-1][2] == packets[-1].data
    for player in players[150:160]:
        player.read()
        assert len(player.media()) == 30
    for player in players[160:170]:
        player.read()
        after_the_move = [data for _, _, data in player.media()][30:]
        assert after_the_move == [packet.data for packet in others[:30]]


async def test_a_message_that_was_begun_is_finished_after_the_watcher_has_left(nursery: trio.Nursery) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1_000)
    await feed(channel, generate_stream(seconds=1))
    channel.discard(player.subscriber)
    channel.discard(player.subscriber)
    player.output.write(render(acknowledgement(5)))
    await player.read_all()
    assert player.messages[-1].type_id == 3
    assert not player.output.blocked
    assert player.outcome is None


async def test_a_socket_that_takes_a_little_now_and_then_is_not_stalled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    channel = live_channel()
    player = watch(channel, nursery, buffer_size=1_000)
    await feed(channel, generate_stream(seconds=9))
    for _ in range(20):
        await trio.sleep(STALL_SECONDS - 1)
        player.read(10)
    assert player.outcome is None
    await trio.sleep(STALL_SECONDS + 1)
    assert player.outcome is OutputEnd.STALLED


async def test_a_watcher_with_nothing_to_get_is_not_stalled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    player = watch(Channel(RtmpRendering()), nursery)
    await trio.sleep(100 * STALL_SECONDS)
    assert player.outcome is None


@pytest.mark.parametrize("buffer_size", [100, 64_000])
async def test_cancelling_its_task_leaves_the_channel_unharmed(buffer_size: int) -> None:
    channel = live_channel()
    packets = generate_stream(seconds=2)
    async with trio.open_nursery() as healthy:
        other = watch(channel, healthy)
        async with trio.open_nursery() as nursery:
            player = watch(channel, nursery, buffer_size=buffer_size)
            await feed(channel, packets[:50], other)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert player.outcome is None
        await feed(channel, packets[50:60], other)
        channel.discard(player.subscriber)
        player.output.transport.close()
        await feed(channel, packets[60:], other)
        assert other.report(packets).missed == ()
        assert channel.subscribers == (other.subscriber,)
        healthy.cancel_scope.cancel()
