"""A watcher of a key that is at another node gets it from there: one pull, that follows whoever has the key."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.cluster.directory import Incarnation
from mmids_trio.media.events import MediaPacket
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.events import StreamEofReceived
from mmids_trio.steps.edge_pulls import MAX_LOOKED_FOR_OF_ADDRESS
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.media import generate_stream
from tests.support.edge_nodes import KEY, STEPS, is_monotonic, running
from tests.support.waiting import eventually

SHOW = generate_stream(seconds=3)
NEXT_SHOW = generate_stream(seconds=3)


def data_of(packets: list[MediaPacket]) -> list[bytes]:
    return [packet.data for packet in packets]


async def test_a_watcher_gets_what_is_published_at_another_node(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        publisher = await nodes["a"].publish()
        watcher = await nodes["b"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await publisher.send(SHOW)
        await watcher.receive(len(SHOW))
        assert data_of(watcher.packets) == [packet.data for packet in SHOW]
        assert nodes["b"].streams == ["key from rtmp://a.example/live/***"]
        [status] = nodes["b"].harness.workflow("w").active_steps[1].streams
        assert status.message == "playing (node a, rtmp://a.example:1935)"


async def test_all_watchers_of_a_node_share_one_pull_that_stays_for_a_while(autojump_clock: MockClock) -> None:
    async with running("ab", STEPS + "\nrtmp_watch rtmp_app=live stream_key=key port=1{port} cluster") as nodes:
        publisher = await nodes["a"].publish()
        b = nodes["b"]
        watchers = [await b.watch(), await b.watch(), await b.harness.watch("live/key", port=11936)]
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await publisher.send(SHOW)
        for watcher in watchers:
            await watcher.receive(len(SHOW))
            watcher.close()
        await trio.sleep(25)
        assert nodes["a"].pulls == 1
        assert len(b.streams) == 1
        await trio.sleep(10)
        assert nodes["a"].pulls == 0
        assert b.streams == []
        assert nodes.cluster.followings == []


async def test_a_stream_that_moves_to_another_node_is_one_stream_for_who_watches(autojump_clock: MockClock) -> None:
    async with running("abc") as nodes:
        former = await nodes["a"].publish()
        watcher = await nodes["c"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await former.send(SHOW)
        await watcher.receive(len(SHOW))
        nodes.cluster.drop(KEY)  # node a is said to be dead, and does not know it
        latter = await nodes["b"].publish()
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the other node")
        await latter.send(NEXT_SHOW)
        await watcher.receive(len(SHOW) + len(NEXT_SHOW))
        assert [packet.data for packet in watcher.packets] == [packet.data for packet in (*SHOW, *NEXT_SHOW)]
        assert is_monotonic(watcher.packets)
        assert not any(isinstance(event, StreamEofReceived) for event in watcher.events)
        assert len(nodes["c"].streams) == 1


async def test_what_comes_goes_on_whatever_the_registry_does_not_say(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        publisher = await nodes["a"].publish()
        watcher = await nodes["b"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await publisher.send(SHOW)
        nodes.cluster.present.clear()
        nodes.cluster.tell(KEY)
        for _ in range(12):
            await trio.sleep(4)
            await publisher.send(SHOW[:1])
        await watcher.receive(len(SHOW) + 12)
        assert nodes["a"].pulls == 1


async def test_a_stream_that_nobody_has_any_more_ends_when_nobody_has_had_it_for_30_seconds(
    autojump_clock: MockClock,
) -> None:
    async with running("ab") as nodes:
        publisher = await nodes["a"].publish()
        watcher = await nodes["b"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await publisher.send(SHOW)
        await watcher.receive(len(SHOW))
        await publisher.unpublish()
        await eventually(lambda: KEY not in nodes.cluster.present, "absence")
        began = trio.current_time()
        assert len(nodes["b"].streams) == 1
        await watcher.read_until(lambda: any(isinstance(event, StreamEofReceived) for event in watcher.events))
        assert trio.current_time() - began == pytest.approx(30, abs=1)
        assert nodes["b"].streams == []


@pytest.mark.thorough
async def test_a_registry_that_says_nothing_of_an_absence_ends_nothing(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        publisher = await nodes["a"].publish()
        watcher = await nodes["b"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await publisher.send(SHOW)
        await watcher.receive(len(SHOW))
        entry = nodes.cluster.present[KEY]
        await publisher.unpublish()
        await eventually(lambda: KEY not in nodes.cluster.present, "absence")
        nodes.cluster.present[KEY] = entry  # the registry is away: what it said last counts
        nodes.cluster.tell(KEY)
        await trio.sleep(100)
        assert len(nodes["b"].streams) == 1


async def test_a_publisher_of_this_node_takes_the_place_of_what_is_pulled(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        former = await nodes["a"].publish()
        watcher = await nodes["b"].watch()
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        await former.send(SHOW)
        await watcher.receive(len(SHOW))
        nodes.cluster.drop(KEY)
        own = await nodes["b"].publish(packets=NEXT_SHOW)
        await watcher.receive(len(SHOW) + len(NEXT_SHOW))
        assert data_of(watcher.packets) == [packet.data for packet in (*SHOW, *NEXT_SHOW)]
        assert is_monotonic(watcher.packets)
        await eventually(lambda: nodes["a"].pulls == 0, "the end of the pull")  # whose task ends its stream after that
        await eventually(lambda: nodes["b"].streams == ["key from rtmp"], "the end of what was pulled")
        own.close()


async def test_watchers_of_a_node_that_has_lost_the_key_go_on_from_the_next(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        former = await nodes["a"].publish(packets=SHOW)
        watcher = await nodes["a"].watch()
        await watcher.receive(1)
        nodes.cluster.drop(KEY)
        latter = await nodes["b"].publish()
        nodes.cluster.claims.clear()
        [stream] = nodes["a"].harness.server.on_air.streams()
        assert stream.send_away is not None
        stream.send_away("it was told that the key is another's")
        await former.read_until_closed()
        await eventually(lambda: nodes["b"].pulls == 1, "a pull")
        before = len(watcher.packets)
        await latter.send(NEXT_SHOW)
        await watcher.receive(before + len(NEXT_SHOW))
        assert is_monotonic(watcher.packets)


async def test_nodes_do_not_pull_in_a_circle(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        nodes.cluster.put(KEY, Incarnation("a", "1"), nodes["a"].claims.address)  # where it is not
        await nodes["b"].watch()
        await nodes["a"].watch()  # which asks itself
        await trio.sleep(3)
        assert nodes["a"].pulls == nodes["b"].pulls == 0
        assert nodes["a"].harness.server.rejections.raised().keys() == {RejectReason.UNKNOWN_NAME.value}


async def test_a_pull_needs_the_token_of_the_cluster_and_nothing_else(autojump_clock: MockClock) -> None:
    steps = STEPS + " play_key=secret"
    async with running("ab", steps) as nodes:
        await nodes["a"].publish(packets=SHOW)
        with pytest.raises(ClientRefused, match="token of the cluster is wrong"):
            await nodes["a"].watch("live/key?cluster_token=guessed")
        with pytest.raises(ClientRefused, match="play token"):
            await nodes["a"].watch()
        peer = await nodes["a"].watch("live/key?cluster_token=peer-of-live-key")
        await peer.receive(1)
        with pytest.raises(ClientRefused, match="no stream of this node"):
            await nodes["b"].watch("live/other?cluster_token=peer-of-live-other")


async def test_keys_of_strangers_cost_so_many_pulls_and_no_more(autojump_clock: MockClock) -> None:
    async with running("a", settings="settings {\nmax_streams 3\n}\n") as nodes:
        watchers = [await nodes["a"].watch(f"live/{number}") for number in range(3)]
        with pytest.raises(ClientRefused, match="as many streams of other nodes as may be"):
            await nodes["a"].watch("live/one-more")
        assert nodes["a"].harness.server.rejections.raised() == {RejectReason.STREAMS.value: 1}
        watchers[0].close()
        await trio.sleep(10)  # what nobody has is not kept for long
        await nodes["a"].watch("live/one-more")


@pytest.mark.thorough
async def test_an_address_may_wait_for_so_many_keys_that_no_node_has_and_others_are_served(
    autojump_clock: MockClock,
) -> None:
    async with running("ab") as nodes:
        a, b = nodes["a"], nodes["b"]
        await a.publish(packets=SHOW)
        stranger, honest = "192.0.2.1", "192.0.2.2"
        watchers = [
            await b.harness.watch(f"live/{number}", port=b.port, peer_host=stranger)
            for number in range(MAX_LOOKED_FOR_OF_ADDRESS)
        ]
        for number in range(100):
            with pytest.raises(ClientRefused, match="too many keys that no node has"):
                await b.harness.watch(f"live/more-{number}", port=b.port, peer_host=stranger)
        assert b.harness.server.rejections.raised() == {RejectReason.LOOKED_FOR.value: 100}
        assert len(nodes.cluster.followings) == MAX_LOOKED_FOR_OF_ADDRESS
        watcher = await b.harness.watch("live/key", port=b.port, peer_host=honest)
        await watcher.receive(1)
        assert nodes["a"].pulls == 1
        await b.harness.watch("live/0", port=b.port, peer_host=stranger)  # that is looked for as it is
        for each in watchers:
            each.close()
        await trio.sleep(30)
        await b.harness.watch("live/more", port=b.port, peer_host=stranger)


async def test_where_very_much_is_waited_for_each_address_may_wait_for_one_key(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmids_trio.steps.edge_pulls.MAX_LOOKED_FOR", 3)
    async with running("ab") as nodes:
        a, b = nodes["a"], nodes["b"]
        await a.publish(packets=SHOW)
        for number in range(3):
            await b.harness.watch(f"live/{number}", port=b.port, peer_host="192.0.2.1")
        with pytest.raises(ClientRefused, match="too many keys that no node has"):
            await b.harness.watch("live/one-more", port=b.port, peer_host="192.0.2.1")
        watcher = await b.harness.watch("live/key", port=b.port, peer_host="192.0.2.2")
        await watcher.receive(1)
        await b.harness.watch("live/other", port=b.port, peer_host="192.0.2.2")  # what was found counts no more
        with pytest.raises(ClientRefused, match="too many keys that no node has"):
            await b.harness.watch("live/another", port=b.port, peer_host="192.0.2.2")


async def test_a_node_that_is_gone_is_called_again_and_again(autojump_clock: MockClock) -> None:
    async with running("ab") as nodes:
        publisher = await nodes["a"].publish(packets=SHOW)
        watcher = await nodes["b"].watch()
        await watcher.receive(1)
        await eventually(lambda: nodes["a"].pulls == 1, "a pull")
        [peer] = [one for one in nodes["a"].harness.server.on_air.clients() if one.asked.token == "cluster"]
        assert peer.live is not None
        peer.live.send_away("the network breaks")
        before = len(watcher.packets)
        await trio.sleep(3)
        await publisher.send(NEXT_SHOW)
        await watcher.receive(before + len(NEXT_SHOW))
        assert is_monotonic(watcher.packets)
        assert len(nodes["b"].streams) == 1
