"""Servers of one cluster, over their APIs: what all have is changed at all or at none, nodes are seen and emptied."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

from mmids_trio.cluster.directory import NODE_TTL_SECONDS, RegistryAway, StreamKey
from mmids_trio.cluster.fleet import APPLY_AGAIN_SECONDS
from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry
from mmids_trio.cluster.revisions import CONFIG_NAME
from mmids_trio.cluster.statuses import MAX_INTERRUPTED
from mmids_trio.server.building import World
from mmids_trio.server.cluster_part import STATUS_TTL_SECONDS
from mmids_trio.testing.clients import ClientRefused
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.events import (
    DrainBegan,
    DrainEnded,
    FleetFailed,
    KeyLost,
    KeyMoved,
    RegistryCameBack,
    RegistryWentAway,
)

Answer = TypeVar("Answer")
STREAM = generate_stream(seconds=1)
SHOW = """
workflow show {
    rtmp_receive rtmp_app=live stream_key=s3cr3t-key
    rtmp_watch rtmp_app=live stream_key=*
}
"""
OTHER = """
workflow other {
    rtmp_receive rtmp_app=other stream_key=*
    rtmp_watch rtmp_app=other stream_key=*
}
"""

SHARED = """
workflow shared {
    rtmp_receive rtmp_app=shared stream_key=* cluster
    rtmp_watch rtmp_app=shared stream_key=* cluster
}
"""


@define(eq=False)
class Way(MemoryDirectory):
    """A way to the registry that can be cut."""

    is_cut: bool = False

    async def ask(self, operation: Callable[[], Answer]) -> Answer:
        if self.is_cut:
            raise RegistryAway("it is cut")
        return await super().ask(operation)


def node(registry: MemoryRegistry, name: str, more: str = "") -> Harness:
    def in_world(world: World) -> World:
        return evolve(world, registry=lambda *_: Way(registry))

    text = f"""
cluster tv {{
    registry redis://127.0.0.1:6379
    node {name}
    advertise rtmp://{name}:1935
    secret 0123456789abcdef0123
}}
{more}
"""
    return Harness(text, in_world=in_world)


@asynccontextmanager
async def cluster(*names: str, more: str = "") -> AsyncIterator[list[Harness]]:
    """Nodes that know of each other."""
    registry = MemoryRegistry()
    nodes = [node(registry, name, more if name == "b" else "") for name in names]
    async with nodes[0], nodes[1], nodes[2]:
        await trio.sleep(5)
        yield nodes


async def put(h: Harness, text: str, query: str = "", **headers: str) -> Any:
    return await h.http.put(f"/cluster/config{query}", content=text.encode(), headers=headers)


async def plan(h: Harness, text: str) -> Any:
    return await h.http.post("/cluster/config/plan", content=text.encode())


def told(h: Harness) -> list[Any]:
    """What was told of the cluster."""
    kinds = (RegistryWentAway, RegistryCameBack, FleetFailed, DrainBegan, DrainEnded)
    return [event for event in h.events() if isinstance(event, kinds)]


def keys_told(nodes: list[Harness]) -> list[Any]:
    """What was told of keys that are another node's now."""
    return [event for h in nodes for event in h.events() if isinstance(event, KeyLost | KeyMoved)]


def counted(h: Harness) -> dict[str, Any]:
    """Its metrics of fleet and drain."""
    wanted = ("draining", "cluster_fleet_revision", "cluster_fleet_failed")
    read = {metric.name: value for metric, _, value in h.server.metrics.sources.read()}
    return {name: read[f"mmids_{name}"] for name in wanted}


def names(nodes: list[Harness]) -> list[list[str]]:
    return [list(h.server.workflows.names()) for h in nodes]


async def test_a_configuration_is_put_in_place_at_all_nodes_and_its_successor_stops_what_it_does_not_name(
    autojump_clock: MockClock,
) -> None:
    async with cluster("a", "b", "c") as nodes:
        answer = await put(nodes[0], SHOW)
        assert answer.status == 200, answer.text
        assert [(each["node"], each["stage"]) for each in answer.json()["nodes"]] == [
            ("a", "applied"),
            ("b", "applied"),
            ("c", "applied"),
        ]
        assert names(nodes) == [["show"]] * 3
        await nodes[2].publish("s3cr3t-key", STREAM)
        assert (await put(nodes[1], OTHER)).status == 200
        assert names(nodes) == [["other"]] * 3


async def test_one_node_that_cannot_keeps_all_from_changing_and_the_answer_says_why(autojump_clock: MockClock) -> None:
    mine = SHOW.replace("s3cr3t-key", "mine")
    async with cluster("a", "b", "c", more=mine) as nodes:
        for answer in (await plan(nodes[0], SHOW), await put(nodes[0], SHOW)):
            assert answer.status == 409
            refusal = answer.json()
            assert "b cannot put it in place; nothing was changed" in refusal["error"]
            [of_b] = [each for each in refusal["nodes"] if each["node"] == "b"]
            assert "take it over" in of_b["reasons"][0]
        assert names(nodes) == [[], ["show"], []]
        assert (await put(nodes[0], SHOW, "?take_over=true")).status == 200


async def test_the_plan_sums_up_whom_all_nodes_would_disconnect(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        await put(nodes[0], SHOW)
        for h in nodes[:2]:
            await h.publish("s3cr3t-key", STREAM)
            await h.watch("s3cr3t-key")
        answer = (await plan(nodes[2], OTHER)).json()
        assert (answer["ending"], answer["publishers"], answer["watchers"]) == ("planned", 2, 2)
        assert [each["plan"]["watchers"] for each in answer["nodes"]] == [1, 1, 0]
        refused = await put(nodes[2], OTHER, "?max_disconnects=3")
        assert (refused.status, refused.json()["ending"]) == (409, "too_many")
        assert names(nodes) == [["show"]] * 3


async def test_only_what_was_seen_is_changed(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        assert (await nodes[0].http.get("/cluster/config")).status == 404
        first = await plan(nodes[0], SHOW)
        put_first = await put(nodes[0], SHOW, **{"If-Match": first.headers["etag"]})
        assert put_first.status == 200
        late = await put(nodes[1], OTHER, **{"If-Match": first.headers["etag"]})
        assert (late.status, late.headers["etag"]) == (412, put_first.headers["etag"])
        shown = await nodes[2].http.get("/cluster/config")
        assert (shown.text, shown.headers["etag"]) == (SHOW, put_first.headers["etag"])
        assert (await put(nodes[1], OTHER, **{"If-Match": shown.headers["etag"]})).status == 200


async def test_the_registry_does_not_show_what_stands_in_the_text(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with node(registry, "a") as h:
        await trio.sleep(5)
        assert (await put(h, SHOW)).status == 200
        await h.publish("s3cr3t-key", STREAM)
        await trio.sleep(5)
        document = registry.read(CONFIG_NAME)
        assert document is not None
        assert "sealed:" in document.text
        for _, each in registry.documents(""):
            assert "s3cr3t" not in each.text


async def test_a_node_that_was_away_serves_what_was_decided_before_it_is_announced(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with node(registry, "a") as first:
        await trio.sleep(5)
        async with node(registry, "b"):
            await trio.sleep(5)
            assert (await put(first, SHOW)).status == 200
        assert (await put(first, OTHER)).status == 200
        async with node(registry, "b") as again:
            assert list(again.server.workflows.names()) == ["other"]
            await trio.sleep(5)
            assert {entry.owner.node: entry.revision for entry in registry.nodes()} == {"a": 2, "b": 2}


async def test_the_cluster_shows_its_nodes_and_their_streams(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        await put(nodes[0], SHOW)
        await nodes[1].publish("s3cr3t-key", STREAM)
        await nodes[1].watch("s3cr3t-key")
        await trio.sleep(5)
        shown = (await nodes[0].http.get("/cluster")).json()
        assert (shown["name"], shown["node"], shown["registry"], shown["revision"]) == ("tv", "a", "up", 1)
        assert [(each["node"], each["draining"], each["revision"]) for each in shown["nodes"]] == [
            ("a", False, 1),
            ("b", False, 1),
            ("c", False, 1),
        ]
        assert [(each["streams"], each["publishers"], each["watchers"]) for each in shown["nodes"]] == [
            (0, 0, 0),
            (1, 1, 1),
            (0, 0, 0),
        ]
        page = (await nodes[0].http.get("/streams?scope=cluster")).json()
        assert [(each["node"], each["name"], each["watchers"]) for each in page["streams"]] == [("b", "s3cr3t-key", 1)]
        assert (page["next"], page["left_out"]) == (None, 0)
        none = await nodes[0].http.get("/streams?scope=cluster&state=slate")
        assert none.json()["streams"] == []
        assert (await nodes[0].http.get("/streams?scope=world")).status == 400
        assert (await nodes[0].http.get("/streams")).json()["streams"] == []


async def test_the_cluster_shows_which_keys_wait_for_their_publisher_until_one_comes_to_any_node(
    autojump_clock: MockClock,
) -> None:
    async with cluster("a", "b", "c", more="settings {\n    grace_after 0\n}") as nodes:
        assert (await put(nodes[0], SHARED)).status == 200

        async def seen() -> list[tuple[str, int, list[Any]]]:
            await trio.sleep(STATUS_TTL_SECONDS)  # each node has said it at least once more
            shown = (await nodes[0].http.get("/cluster")).json()["nodes"]
            return [(each["node"], each["interrupted"], each["waiting"]) for each in shown]

        publisher = await nodes[1].publish("shared/x", STREAM)
        await nodes[1].publish("shared/y", STREAM)
        assert await seen() == [("a", 0, []), ("b", 0, []), ("c", 0, [])]
        publisher.close()
        assert await seen() == [("a", 0, []), ("b", 1, [{"app": "shared", "name": "x"}]), ("c", 0, [])]
        await nodes[2].publish("shared/x", STREAM)
        assert await seen() == [("a", 0, []), ("b", 0, []), ("c", 0, [])]
        assert keys_told(nodes) == [KeyMoved("b", "shared", "x", "c")]


@pytest.mark.thorough
async def test_a_key_that_leaves_a_node_that_is_emptied_is_told_as_no_loss(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c", more="settings {\n    grace_after 0\n}") as nodes:
        assert (await put(nodes[0], SHARED)).status == 200
        waits, publishes = [await nodes[1].publish(f"shared/{key}", STREAM) for key in "xy"]
        waits.close()
        await trio.sleep(STATUS_TTL_SECONDS)
        await nodes[1].http.post("/cluster/drain")
        publishes.close()
        await trio.sleep(STATUS_TTL_SECONDS)
        for key in "xy":
            await nodes[2].publish(f"shared/{key}", STREAM)
        await trio.sleep(STATUS_TTL_SECONDS)
        assert keys_told(nodes) == []


async def test_of_many_keys_that_wait_a_node_names_some_and_counts_all(autojump_clock: MockClock) -> None:
    more = MAX_INTERRUPTED + 3
    async with cluster("a", "b", "c") as nodes:
        member = nodes[1].server.cluster
        assert member is not None
        for number in range(more):
            (await member.claim(StreamKey("shared", str(number)), lambda _: None)).show(is_interrupted=True)
        await trio.sleep(STATUS_TTL_SECONDS)
        [_, of_b, _] = (await nodes[0].http.get("/cluster")).json()["nodes"]
        assert (of_b["interrupted"], len(of_b["waiting"])) == (more, MAX_INTERRUPTED)


@pytest.mark.thorough
async def test_streams_of_all_nodes_come_page_by_page(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        await put(nodes[0], OTHER)
        for h in nodes:
            for key in "xy":
                await h.publish(f"other/{key}", STREAM)
        await trio.sleep(5)
        seen, after = [], ""
        for _ in range(10):
            page = (await nodes[1].http.get(f"/streams?scope=cluster&limit=4{after}")).json()
            seen += [(each["node"], each["name"]) for each in page["streams"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert seen == [(node, key) for node in "abc" for key in "xy"]


async def test_a_server_in_no_cluster_says_so(autojump_clock: MockClock) -> None:
    async with Harness(SHOW) as h:
        for answer in (
            await h.http.get("/cluster"),
            await h.http.get("/cluster/config"),
            await h.http.get("/streams?scope=cluster"),
            await put(h, SHOW),
            await plan(h, SHOW),
        ):
            assert (answer.status, answer.json()["error"]) == (404, "this server is in no cluster")


@pytest.mark.thorough
async def test_any_node_can_be_asked_to_empty_any_other(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        await put(nodes[0], OTHER)
        publisher = await nodes[1].publish("other/x", STREAM)
        state = (await nodes[0].http.post("/cluster/drain?node=b&deadline=600")).json()
        assert (state["node"], state["draining"], state["over"], state["publishers"]) == ("b", True, False, 1)
        with pytest.raises(ClientRefused, match="being emptied"):
            await nodes[1].publish("other/y", STREAM)
        await trio.sleep(5)
        shown = (await nodes[2].http.get("/cluster")).json()["nodes"]
        assert [each["draining"] for each in shown] == [False, True, False]
        assert (await nodes[1].http.get("/ready")).status == 503
        publisher.close()
        state = (await nodes[0].http.get("/cluster/drain?node=b&wait=30")).json()
        assert (state["over"], state["publishers"]) == (True, 0)
        assert not (await nodes[2].http.delete("/cluster/drain?node=b")).json()["draining"]
        await nodes[1].publish("other/y", STREAM)
        assert (await nodes[0].http.post("/cluster/drain?node=z")).status == 404


async def test_a_node_that_cannot_put_in_place_what_is_decided_is_emptied_and_the_cluster_says_so(
    autojump_clock: MockClock,
) -> None:
    registry = MemoryRegistry()
    async with node(registry, "a") as first:
        await trio.sleep(5)
        assert (await put(first, SHOW)).status == 200
        async with node(registry, "b", SHOW.replace("s3cr3t-key", "mine")) as late:
            await trio.sleep(5)
            shown = (await first.http.get("/cluster")).json()
            [_, of_b] = shown["nodes"]
            assert (of_b["draining"], of_b["revision"]) == (True, 0)
            assert "is the configuration file's" in of_b["reasons"][0]
            assert "node b cannot put revision 1 in place and is being emptied" in shown["warnings"][0]
            assert (await late.http.get("/ready")).status == 503


@pytest.mark.thorough
async def test_that_a_node_cannot_serve_what_is_decided_is_told_once_and_that_it_can_again(
    autojump_clock: MockClock,
) -> None:
    registry = MemoryRegistry()
    async with node(registry, "a") as first:
        await trio.sleep(5)
        assert (await put(first, SHOW)).status == 200
        async with node(registry, "b", SHOW.replace("s3cr3t-key", "mine")) as late:
            await trio.sleep(3 * APPLY_AGAIN_SECONDS)
            failed, drained = told(late)
            assert isinstance(failed, FleetFailed)
            assert (failed.node, failed.revision) == ("b", 1)
            assert "is the configuration file's" in failed.reason
            assert drained == DrainBegan("b", "fleet", 0)
            assert counted(late) == {"draining": 1, "cluster_fleet_revision": 0, "cluster_fleet_failed": 1}
            assert (await put(first, OTHER)).status == 200
            assert told(late)[2:] == [DrainEnded("b")]
            assert counted(late) == {"draining": 0, "cluster_fleet_revision": 2, "cluster_fleet_failed": 0}
        assert told(first) == []


async def test_a_registry_that_goes_and_comes_back_is_told_by_each_node(autojump_clock: MockClock) -> None:
    async with cluster("a", "b", "c") as nodes:
        way = nodes[1].server.cluster.directory  # type: ignore[union-attr]
        assert isinstance(way, Way)
        way.is_cut = True
        await trio.sleep(NODE_TTL_SECONDS)
        assert told(nodes[1]) == [RegistryWentAway("b")]
        way.is_cut = False
        await trio.sleep(NODE_TTL_SECONDS)
        assert told(nodes[1]) == [RegistryWentAway("b"), RegistryCameBack("b")]
        assert told(nodes[0]) == []


async def test_without_its_registry_a_node_answers_what_it_knows_and_changes_nothing(autojump_clock: MockClock) -> None:
    registry = MemoryRegistry()
    async with node(registry, "a") as h:
        await trio.sleep(5)
        h.server.cluster.directory.is_cut = True  # type: ignore[union-attr]
        answer = await put(h, SHOW)
        assert (answer.status, "registry is away" in answer.json()["error"]) == (503, True)
        await trio.sleep(NODE_TTL_SECONDS)
        shown = (await h.http.get("/cluster")).json()
        assert (shown["registry"], [each["node"] for each in shown["nodes"]]) == ("away", ["a"])
        assert "the registry is away" in shown["warnings"][0]
