"""A server that is in a cluster, by its configuration: it takes part, is counted, and leaves."""

from functools import partial

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from mmids_trio.cluster.directory import Incarnation, StreamEntry, StreamKey
from mmids_trio.cluster.membership import ANNOUNCE_SECONDS
from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry
from mmids_trio.server.building import World
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import ClientLeft, KeyLost

CONFIGURATION = """
cluster world {
    registry redis://registry.example.org
    node a
    advertise rtmp://a.example.org
    secret 0123456789abcdef
    linger 7s
}
workflow live {
    rtmp_receive rtmp_app=live stream_key=* cluster
    rtmp_watch rtmp_app=live stream_key=* cluster
}
"""


def on(registry: MemoryRegistry, world: World) -> World:
    return evolve(world, registry=lambda *_: MemoryDirectory(registry))


async def test_a_server_announces_itself_and_leaves_with_its_end(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with Harness(CONFIGURATION, in_world=partial(on, registry)) as h:
        await trio.sleep(ANNOUNCE_SECONDS)  # it serves what its fleet has decided before it says that it is there
        [node] = registry.nodes()
        assert (node.owner.node, node.address) == ("a", "rtmp://a.example.org")
        assert h.server.pulls is not None
        assert h.server.pulls.linger_s == 7
    assert registry.nodes() == []


async def test_what_a_server_has_of_its_cluster_is_counted(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with Harness(CONFIGURATION, in_world=partial(on, registry)) as h:
        assert h.server.cluster is not None
        await h.server.cluster.claim(StreamKey("live", "show"), lambda _: None)
        read = {(metric.name, labels): value for metric, labels, value in h.server.metrics.sources.read()}
        assert read["mmids_cluster_registry_up", ()] == 1
        assert read["mmids_cluster_keys", ()] == 1
        assert read["mmids_cluster_claims_total", ("granted",)] == 1
        assert read["mmids_cluster_questions_total", ("claim",)] == 1
        assert read["mmids_cluster_info", ("world", "a")] == 1
        assert read["mmids_cluster_pulls", ()] == 0
        await h.watch("elsewhere")
        assert {metric.name: value for metric, _, value in h.server.metrics.sources.read()}["mmids_cluster_pulls"] == 1


async def test_that_a_key_is_lost_is_an_event_beside_the_end_of_its_publisher(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with Harness(CONFIGURATION, in_world=partial(on, registry)) as h:
        await h.publish("show", generate_stream(seconds=1))
        [entry] = registry.streams()
        registry.release(entry)
        registry.claim(StreamEntry(entry.key, Incarnation("b", "1"), 0, "rtmp://b.example.org"))
        await h.wait_event(ClientLeft, since=0)
        assert [event for event in h.events() if isinstance(event, KeyLost)] == [
            KeyLost("a", "live", "show", "b", "expired")
        ]


@pytest.mark.parametrize("configuration", ["", "workflow w {\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"])
async def test_without_a_cluster_there_is_none(configuration: str, autojump_clock: MockClock) -> None:
    async with Harness(configuration) as h:
        assert h.server.cluster is None
        assert not any("cluster" in metric.name for metric, _, _ in h.server.metrics.sources.read())
