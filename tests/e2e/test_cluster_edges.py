"""A cluster of real servers on a real Redis: who watches stays, whatever dies, stops or is cut off.

What each event costs is printed; the bounds are for a busy machine.
"""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from attrs import define

from mmids_trio.testing.clients import ClientRefused
from tests.support.cluster_stage import Stage, say
from tests.support.cutting import Cutting
from tests.support.live_clients import SHOW, connected
from tests.support.processes import HANG_SECONDS
from tests.support.registries import Server, free_ports, redis, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e


@define(eq=False, kw_only=True)
class RedisStage(Stage):
    """With a Redis that tests may stop."""

    server: Server


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[RedisStage]:
    """A Redis, and no nodes yet."""
    async with running() as nursery:
        [port] = free_ports(1)
        registry = redis(nursery, tmp_path / "redis", port)
        await registry.start()
        yield RedisStage(nursery, tmp_path, f"redis://127.0.0.1:{port}", server=registry)


async def test_a_cold_edge_shows_the_first_picture_and_pulls_once(stage: RedisStage) -> None:
    await stage.start("abc")
    encoder = stage.encode("a")
    await stage.published(encoder, "a")
    await trio.sleep(3)  # until there is a group of pictures
    [first] = await stage.play("b")
    say("first picture on a cold edge", first.times[0] - first.joined_at)
    await stage.play("b")
    assert await stage.pulls("a") == 1
    [stream] = (await stage.nodes["b"].get("/streams")).json["streams"]
    assert stream["source"]["location"] == f"rtmp://127.0.0.1:{stage.ports['a']}/live/***"

    client = await connected(stage.ports["c"])
    with pytest.raises(ClientRefused, match="is being published at another node"):
        await client.publish("show", SHOW)
    client.close()
    stage.assert_nobody_was_cut()


async def test_the_owner_is_killed_and_50_watchers_on_two_edges_stay(stage: RedisStage) -> None:
    await stage.start("abc")
    encoder = stage.encode("a", "c")
    await stage.published(encoder, "a")
    for name in "bc":
        await stage.play(name, 25)
    killed_at = trio.current_time()
    stage.nodes["a"].child.process.kill()
    await stage.published(encoder, "c")
    await stage.served()
    await trio.sleep(2)
    await stage.served()
    gap = stage.longest_gap(killed_at)
    say("kill -9 of the owner, longest gap of 50 watchers", gap)
    stage.assert_nobody_was_cut()
    assert gap < HANG_SECONDS


async def test_an_owner_that_was_stopped_is_thrown_out_when_it_goes_on(stage: RedisStage) -> None:
    await stage.start("abc")
    former = stage.encode("a")
    await stage.published(former, "a")
    await stage.play("b")
    stopped_at = trio.current_time()
    stage.nodes["a"].child.send(signal.SIGSTOP)
    latter = stage.encode("c")
    await stage.published(latter, "c")
    await stage.served()
    say("SIGSTOP of the owner, gap", stage.longest_gap(stopped_at))
    went_on_at = trio.current_time()
    refused = len(former.refusals)
    stage.nodes["a"].child.send(signal.SIGCONT)
    await eventually(lambda: len(former.refusals) > refused, "refusal of the former publisher")
    say("thrown out after SIGCONT within", trio.current_time() - went_on_at)
    assert latter.at == stage.ports["c"]
    await stage.served()
    stage.assert_nobody_was_cut()


async def test_a_registry_that_stops_or_comes_back_empty_costs_no_viewer_anything(stage: RedisStage) -> None:
    await stage.start("ab")
    encoder = stage.encode("a")
    await stage.published(encoder, "a")
    await stage.play("b")
    assert stage.server.child is not None
    began = trio.current_time()
    stage.server.child.send(signal.SIGSTOP)
    await trio.sleep(8)
    stage.server.child.send(signal.SIGCONT)
    await trio.sleep(3)
    say("Redis stopped for 8 s, longest gap", stage.longest_gap(began))
    await stage.server.kill()
    await trio.sleep(8)
    await stage.play("b")  # newcomers of what is pulled are served meanwhile
    await stage.server.start()
    await trio.sleep(10)
    gap = stage.longest_gap(began)
    say("Redis killed and back empty, longest gap", gap)
    assert encoder.at == stage.ports["a"]
    assert gap < 5
    stage.assert_nobody_was_cut()


async def test_of_two_publishers_of_an_outage_one_stays_and_no_viewer_is_cut(stage: RedisStage) -> None:
    await stage.start("abc")
    await stage.server.kill()
    await trio.sleep(2)
    encoders = [stage.encode("a"), stage.encode("c")]
    await stage.published(encoders[0], "a")
    await stage.published(encoders[1], "c")
    await stage.play("a", 3)
    await stage.play("c", 3)
    await stage.server.start()
    back_at = trio.current_time()
    await eventually(lambda: any(encoder.refusals for encoder in encoders), "refusal of one")
    say("both live during an outage, one left after", trio.current_time() - back_at)
    await eventually(lambda: sum(encoder.at is not None for encoder in encoders) == 1, "one publisher")
    await trio.sleep(3)
    await stage.served()
    say("longest gap of their viewers", stage.longest_gap(back_at))
    assert sum(encoder.at is not None for encoder in encoders) == 1
    stage.assert_nobody_was_cut()


async def test_an_edge_that_is_cut_off_the_registry_goes_on(stage: RedisStage) -> None:
    way = await Cutting(stage.nursery, stage.server.port).start()
    await stage.start("a")
    await stage.start("b", registry=f"redis://127.0.0.1:{way.port}")
    encoder = stage.encode("a")
    await stage.published(encoder, "a")
    await stage.play("b")
    began = trio.current_time()
    way.fall_silent()
    await trio.sleep(8)
    await way.mend()
    way.cut()
    await trio.sleep(8)
    await way.mend()
    await stage.play("b")
    gap = stage.longest_gap(began)
    say("edge cut off the registry, longest gap", gap)
    assert gap < 5
    stage.assert_nobody_was_cut()


@pytest.mark.parametrize("how", ["cut", "half open"])
async def test_an_edge_that_is_cut_off_the_origin_takes_the_stream_up_again(stage: RedisStage, how: str) -> None:
    [port] = free_ports(1)
    way = await Cutting(stage.nursery, port).start()
    stage.ports["a"] = port
    await stage.start("a", advertised=way.port)
    await stage.start("b")
    encoder = stage.encode("a")
    await stage.published(encoder, "a")
    way.delay_s = 0.05
    await stage.play("b")
    began = trio.current_time()
    if how == "cut":
        way.cut()
    else:
        way.fall_silent()
    await trio.sleep(8)
    await way.mend()
    mended_at = trio.current_time()
    await stage.served()
    say(f"edge and origin {how} for 8 s, media again after", trio.current_time() - mended_at)
    say("gap", stage.longest_gap(began))
    assert len((await stage.nodes["b"].get("/streams")).json["streams"]) == 1
    stage.assert_nobody_was_cut()
