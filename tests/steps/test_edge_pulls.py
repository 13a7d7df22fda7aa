"""What a pull of another node's stream hands on, whatever moment its call is given up in."""

from random import Random

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from mmids_trio.cluster.directory import Incarnation, StreamKey
from tests.support.cluster_watchers import Origins, Show, Watcher, make_up_connections
from tests.support.edge_nodes import KEY
from tests.support.fake_claims import FakeCluster
from tests.support.waiting import eventually


@define
class Published:
    show: Show
    is_interrupted: bool = False


async def test_a_stream_whose_first_media_wait_while_it_moves_is_seen_from_its_next_node(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_up_connections(monkeypatch)
    cluster = FakeCluster()
    shows = {name: Published(Show(number, 0)) for number, name in enumerate("ab")}

    def at(node: str, key: StreamKey) -> Published | None:
        return shows.get(node)

    cluster.put(KEY, Incarnation("a", "1"), "rtmp://a:1935")
    watcher = Watcher(KEY, cluster.node("c"), Origins(at, Random(1)))
    watcher.taker.inbox.put([])  # other streams of the step have filled it
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.pulls.run)
        watcher.want()
        await eventually(lambda: watcher.pull is not None and watcher.pull.has_begun, "the first media")
        cluster.put(KEY, Incarnation("b", "1"), "rtmp://b:1935")
        nursery.start_soon(watcher.read)
        await eventually(lambda: watcher.got == shows["b"].show.number, "a frame of the next node")
        nursery.cancel_scope.cancel()


async def test_an_edge_whose_pull_ends_looks_at_once_where_the_key_is_now(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_up_connections(monkeypatch)
    cluster = FakeCluster()
    cluster.put(KEY, Incarnation("a", "1"), "rtmp://a:1935")
    shows = {"a": Published(Show(0, 0))}
    watcher = Watcher(KEY, cluster.node("c"), Origins(lambda node, key: shows.get(node), Random(1)))
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.pulls.run)
        watcher.want()
        nursery.start_soon(watcher.read)
        await eventually(lambda: watcher.pull is not None and watcher.pull.has_begun, "the first media")
        [following] = cluster.followings
        assert following.looked_again == 0
        shows.clear()
        await eventually(lambda: following.looked_again > 0, "another look")
        nursery.cancel_scope.cancel()
