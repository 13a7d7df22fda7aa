"""A node of a cluster that is emptied: what it fetches goes on while somebody watches; others take what it had."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.media.events import MediaPacket
from mmids_trio.rtmp.protocol.events import StreamEofReceived
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.media import generate_stream
from tests.support.edge_nodes import HTTP, KEY, STEPS, Node, Nodes, is_monotonic, running
from tests.support.waiting import eventually

SHOW = generate_stream(seconds=3)
NEXT_SHOW = generate_stream(seconds=3)
LONG_SHOW = generate_stream(seconds=10)


def drain(node: Node) -> None:
    node.harness.server.draining.begin()


def left(node: Node) -> tuple[int, int]:
    """Publishers and watchers."""
    view = node.harness.server.draining.view()
    return view.publishers, view.watchers


def data_of(packets: list[MediaPacket]) -> list[bytes]:
    return [packet.data for packet in packets]


def was_told_of_an_end(watcher: RtmpClient) -> bool:
    return any(isinstance(event, StreamEofReceived) for event in watcher.events)


async def received(watcher: RtmpClient, count: int) -> None:
    with trio.fail_after(20):
        await watcher.receive(count)


async def pulled(nodes: Nodes) -> tuple[RtmpClient, RtmpClient]:
    """A publisher at node a, and a watcher at node c that has got `SHOW` from there."""
    publisher = await nodes["a"].publish()
    watcher = await nodes["c"].watch()
    await eventually(lambda: nodes["a"].pulls == 1, "a pull")
    await publisher.send(SHOW)
    await received(watcher, len(SHOW))
    return publisher, watcher


async def test_an_edge_that_is_emptied_fetches_until_its_last_watcher_has_gone(autojump_clock: MockClock) -> None:
    async with running("abc") as nodes:
        publisher, watcher = await pulled(nodes)
        c = nodes["c"]
        drain(c)
        for _ in range(12):  # longer than anything is kept that nobody wants
            await trio.sleep(4)
            await publisher.send(SHOW[:1])
        await received(watcher, len(SHOW) + 12)
        assert left(c) == (0, 1)
        watcher.close()
        await eventually(lambda: c.harness.server.draining.view().over, "the end of the drain")
        assert nodes["a"].pulls == 1  # kept as long as always
        await eventually(lambda: nodes["a"].pulls == 0, "the end of the pull")


async def test_an_edge_that_is_emptied_follows_a_stream_that_moves_and_fetches_others(
    autojump_clock: MockClock,
) -> None:
    async with running("abc") as nodes:
        former, watcher = await pulled(nodes)
        drain(nodes["c"])
        await former.unpublish()
        await eventually(lambda: KEY not in nodes.cluster.present, "a free key")
        latter = await nodes["b"].publish()
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the next node")
        await latter.send(NEXT_SHOW)
        await received(watcher, len(SHOW) + len(NEXT_SHOW))
        assert is_monotonic(watcher.packets)
        await nodes["a"].publish("live/other", SHOW)
        late = await nodes["c"].watch("live/other")
        await received(late, 1)


@pytest.mark.parametrize("how", ["closes", "says goodbye"])
async def test_a_publisher_that_is_asked_to_move_is_let_in_at_another_node_at_once_and_edges_follow(
    how: str, autojump_clock: MockClock
) -> None:
    async with running("abc") as nodes:
        former, watcher = await pulled(nodes)
        drain(nodes["a"])
        if how == "says goodbye":
            await former.unpublish()
        former.close()
        began = trio.current_time()
        await eventually(lambda: KEY not in nodes.cluster.present, "a free key")
        latter = await nodes["b"].publish()
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the next node")
        await latter.send(NEXT_SHOW)
        await received(watcher, len(SHOW) + len(NEXT_SHOW))
        assert trio.current_time() - began < 1  # its grace is 30 s
        assert data_of(watcher.packets) == [packet.data for packet in (*SHOW, *NEXT_SHOW)]
        assert is_monotonic(watcher.packets)
        assert not was_told_of_an_end(watcher)
        await eventually(lambda: left(nodes["a"]) == (0, 0), "an empty node")


async def test_a_key_that_waits_for_its_publisher_is_free_when_its_node_begins_to_be_emptied(
    autojump_clock: MockClock,
) -> None:
    async with running("abc") as nodes:
        former, watcher = await pulled(nodes)
        former.close()
        await trio.sleep(2)
        assert KEY in nodes.cluster.present
        drain(nodes["a"])
        assert KEY not in nodes.cluster.present
        latter = await nodes["b"].publish()
        await eventually(lambda: nodes["b"].pulls == 1, "a pull of the next node")
        await latter.send(NEXT_SHOW)
        await received(watcher, len(SHOW) + len(NEXT_SHOW))
        assert not was_told_of_an_end(watcher)


async def test_a_publisher_that_came_back_before_is_not_cut_when_its_node_begins_to_be_emptied(
    autojump_clock: MockClock,
) -> None:
    async with running("a") as nodes:
        (await nodes["a"].publish(packets=SHOW)).close()
        await trio.sleep(2)
        back = await nodes["a"].publish(packets=SHOW)
        drain(nodes["a"])
        await back.send(SHOW)
        await trio.sleep(2)
        assert not back.is_disconnected
        assert KEY in nodes.cluster.present


@pytest.mark.thorough
async def test_watchers_of_the_node_that_is_emptied_go_on_from_where_the_publisher_went(
    autojump_clock: MockClock,
) -> None:
    async with running("abc") as nodes:
        former, edge = await pulled(nodes)
        own = await nodes["a"].watch()
        await received(own, 1)
        drain(nodes["a"])
        former.close()
        await eventually(lambda: KEY not in nodes.cluster.present, "a free key")
        latter = await nodes["b"].publish()
        await eventually(lambda: nodes["b"].pulls == 2, "pulls of both nodes")
        before = len(own.packets)
        await latter.send(NEXT_SHOW)
        await received(own, before + len(NEXT_SHOW))
        await received(edge, len(SHOW) + len(NEXT_SHOW))
        assert is_monotonic(own.packets)
        assert left(nodes["a"]) == (0, 1)


async def test_a_server_outside_of_a_cluster_waits_for_its_publishers_as_before(autojump_clock: MockClock) -> None:
    steps = "rtmp_receive rtmp_app=live stream_key=* port={port} grace=30"
    async with running("a", steps) as nodes:
        (await nodes["a"].publish(packets=SHOW)).close()
        await (await nodes["a"].publish("live/other", SHOW)).unpublish()
        drain(nodes["a"])
        await trio.sleep(20)
        assert nodes["a"].streams == ["key from rtmp"]
        await trio.sleep(11)
        assert nodes["a"].streams == []


@pytest.mark.thorough
async def test_viewers_of_hls_count_as_long_as_they_are_there(autojump_clock: MockClock) -> None:
    async with running("ab", f"{STEPS}\n{HTTP}") as nodes, trio.open_nursery() as nursery:
        publisher = await nodes["a"].publish()
        nursery.start_soon(publisher.play, LONG_SHOW)
        await trio.sleep(3)
        drain(nodes["b"])
        web = nodes["b"].web
        index = (await web("/live/key/index.m3u8")).text
        media = next(line for line in index.splitlines() if line and line[0] != "#")
        assert (await web(f"/live/key/{media}")).status == 200
        assert left(nodes["b"]) == (0, 1)
        assert nodes["a"].pulls == 1
        nursery.cancel_scope.cancel()
