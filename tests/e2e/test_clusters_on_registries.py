"""A cluster of real servers behind Redis with Sentinel, and on etcd, whose machines do not agree on what time it is."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from attrs import frozen

from mmids_trio.testing.clients import ClientRefused
from tests.support.cluster_stage import Stage, say
from tests.support.live_clients import SHOW, Encoder, connected
from tests.support.plugins import LISTED, STUDIO
from tests.support.program import Answer, Program, curl, run_program
from tests.support.registries import etcd, running, sentinels
from tests.support.waiting import eventually, eventually_answered

pytestmark = pytest.mark.e2e

HOURS_APART_S = 5 * 3600
OUTCOMES = (("moved", 1), ("lost", 0))
FLEET = "workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key=* port=0\n}}\n"


@frozen(eq=False)
class Place:
    """A registry, and how it fails and is back."""

    stage: Stage
    fail: Callable[[], Awaitable[None]]


@asynccontextmanager
async def behind_sentinel(directory: Path) -> AsyncIterator[Place]:
    """Fails over to the replica."""
    async with running() as nursery:
        registry = await sentinels(nursery, directory)
        primary, _, guard, *_ = registry.servers

        async def fail() -> None:
            await primary.kill()
            assert guard.child is not None
            await guard.child.out.line(r"\+switch-master")

        yield Place(Stage(nursery, directory, registry.url), fail)


@asynccontextmanager
async def in_etcd(directory: Path) -> AsyncIterator[Place]:
    """Dies, is missed, and comes back with what it has on the disk."""
    async with running() as nursery:
        server = etcd(nursery, directory)
        await server.start()
        stage = Stage(nursery, directory, f"etcd://127.0.0.1:{server.port}")

        async def fail() -> None:
            await server.kill()
            await registry_is(stage, "away")
            await server.start()

        yield Place(stage, fail)


async def registry_is(stage: Stage, state: str) -> None:
    """Wait until all nodes say so."""
    for node in stage.nodes.values():

        async def says(get: Callable[[str], Awaitable[Answer]] = node.get) -> bool:
            return bool((await get("/cluster")).json["registry"] == state)

        await eventually_answered(says, f"registry that is {state}")


async def is_refused(stage: Stage, name: str) -> bool:
    """Whether a second publisher of the key is told that another node has it."""
    client = await connected(stage.ports[name])
    try:
        await client.publish("show", SHOW)
    except ClientRefused as refusal:
        return "is being published at another node" in str(refusal)
    finally:
        client.close()
    return False


async def moved(stage: Stage, encoder: Encoder, name: str, began: float) -> None:
    """Wait until the encoder publishes at that node, and everybody has media of there."""
    await stage.published(encoder, name)
    await eventually(lambda: min(player.times[-1] for player in stage.players) > began + 2, f"media of node {name}")
    assert await stage.pulls(name) == 1


async def told_of_move(node: Program) -> bool:
    """Whether it has counted that its key has moved, and none that it has lost."""
    counted = (await node.get("/metrics")).text
    return all(f'claims_total{{outcome="{outcome}"}} {count}\n' in counted for outcome, count in OUTCOMES)


@pytest.mark.parametrize("place", [behind_sentinel, in_etcd], ids=["sentinel", "etcd"])
async def test_no_viewer_sees_that_a_registry_fails_or_that_a_node_is_emptied(
    place: Callable[[Path], AbstractAsyncContextManager[Place]], tmp_path: Path
) -> None:
    """Node b is 290 s ahead of node c, which is nearly as much as pulls forgive."""
    async with place(tmp_path) as at:
        stage = at.stage
        await stage.start("a")
        await stage.start("b", clock_s=200)
        await stage.start("c", clock_s=-90)
        encoder = stage.encode("a", "c")
        await stage.published(encoder, "a")
        [first] = await stage.play("b")
        say("first picture on a cold edge", first.times[0] - first.joined_at)
        await stage.play("b")
        assert await stage.pulls("a") == 1
        assert await is_refused(stage, "c")

        began = trio.current_time()
        await at.fail()
        await registry_is(stage, "up")
        say("registry failed and back after", trio.current_time() - began)
        await eventually_answered(lambda: is_refused(stage, "c"), "refusal of a second publisher")
        say("registry failed, longest gap", stage.longest_gap(began))
        assert encoder.at == stage.ports["a"]
        assert stage.longest_gap(began) < 5

        began = trio.current_time()
        encoder.move()
        await moved(stage, encoder, "c", began)
        say("connection broken, encoder at another node, longest gap", stage.longest_gap(began))
        await eventually_answered(lambda: told_of_move(stage.nodes["a"]), "move of the key, and no loss")
        assert stage.longest_gap(began) < 10

        began = trio.current_time()
        await curl(f"{stage.nodes['c'].api}/cluster/drain", "-X", "POST")
        encoder.move()
        await moved(stage, encoder, "a", began)
        say("origin emptied, longest gap", stage.longest_gap(began))
        drained = (await stage.nodes["c"].get("/cluster/drain?wait=20")).json
        assert (drained["over"], drained["publishers"], drained["watchers"]) == (True, 0, 0)
        assert stage.longest_gap(began) < 10
        stage.assert_nobody_was_cut()


async def test_a_fleet_on_etcd_is_changed_as_a_whole_by_nodes_whose_clocks_are_hours_apart(tmp_path: Path) -> None:
    async with in_etcd(tmp_path) as at:
        stage = at.stage
        await stage.start("a", module=STUDIO + LISTED)
        await stage.start("b", clock_s=HOURS_APART_S)
        a, b = stage.nodes["a"], stage.nodes["b"]
        encoder = stage.encode("b")
        await stage.published(encoder, "b")
        [stream] = (await b.get("/streams")).json["streams"]
        assert datetime.fromisoformat(stream["since"]) - datetime.now(UTC) > timedelta(seconds=HOURS_APART_S / 2)

        async def revisions(*names: str) -> bool:
            """Whether these nodes are there and serve what is decided."""
            seen = (await a.get("/cluster")).json
            return {node["node"]: node["revision"] for node in seen["nodes"]} == dict.fromkeys(names, seen["revision"])

        await eventually_answered(lambda: revisions("a", "b"), "two nodes")
        began = trio.current_time()
        changed = await put_fleet(a, "shared")
        say("a change of two nodes on etcd", trio.current_time() - began)
        assert changed.status == 200, changed.text
        assert [node["stage"] for node in changed.json["nodes"]] == ["applied", "applied"]
        assert await revisions("a", "b")
        refused = await put_fleet(b, "w")  # which each node has in its own file
        assert refused.status == 409, refused.text
        assert (await b.get("/cluster")).json["revision"] == changed.json["revision"]
        await stage.start("c", clock_s=-HOURS_APART_S, module=STUDIO + LISTED)
        await eventually_answered(lambda: revisions("a", "b", "c"), "three nodes that serve the same")
        wanted = FLEET.format(name="shared") + FLEET.format(name="other").replace("}", "    passing after=2s\n}")
        refusal = await put_text(a, wanted)  # only node b does not know the step
        assert (refusal.status, refusal.json["ending"]) == (409, "refused"), refusal.text
        assert [node["node"] for node in refusal.json["nodes"] if node["reasons"]] == ["b"]
        (tmp_path / "wanted.mmids").write_text(wanted, encoding="utf-8")
        command = await run_program(
            stage.nursery, tmp_path, "apply", "--fleet", "wanted.mmids", environment={"MMIDS_SERVER": a.api}
        )
        assert await command.end() == 1
        assert re.search(r"^b: .*'passing'", command.err.text, re.MULTILINE), command.err.text
        assert await revisions("a", "b", "c")
        assert (await a.get("/cluster")).json["revision"] == changed.json["revision"]
        for node in stage.nodes.values():
            assert (await node.get("/workflows/other")).status == 404
        assert (await stage.nodes["c"].get("/workflows/shared")).status == 200
        assert await is_refused(stage, "c")
        assert encoder.at == stage.ports["b"]


async def put_fleet(node: Program, workflow: str) -> Answer:
    return await put_text(node, FLEET.format(name=workflow))


async def put_text(node: Program, text: str) -> Answer:
    return await curl(f"{node.api}/cluster/config", "-X", "PUT", body=text.encode())
