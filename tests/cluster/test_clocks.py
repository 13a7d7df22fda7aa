"""Machines that do not agree on what time it is: keys are kept and change hands all the same; pulls forgive minutes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from attrs import define, evolve
from trio.testing import MockClock

from mmids_trio.cluster.claims import KeyElsewhere, StreamClaims
from mmids_trio.cluster.directory import RENEW_SECONDS, STREAM_TTL_SECONDS
from mmids_trio.cluster.pull_tokens import CLOCKS_APART_S
from mmids_trio.rejections import RejectReason
from mmids_trio.server.building import World
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from tests.support.cluster_nodes import cluster
from tests.support.directories import KEY
from tests.support.edge_nodes import STEPS
from tests.support.publishing import WAIT_FOR_ALL

SHOW = generate_stream(seconds=1)
HOURS = 3600.0


@define(eq=False)
class Calendar:
    """What a machine takes for the time."""

    ahead_s: float

    def __call__(self) -> float:
        return 1_800_000_000 + trio.current_time() + self.ahead_s


@pytest.mark.parametrize("ahead", [(0.0, 7 * HOURS), (7 * HOURS, 0.0), (-200 * HOURS, 200 * HOURS)])
async def test_keys_are_kept_and_change_hands_as_if_clocks_agreed(
    ahead: tuple[float, float], autojump_clock: MockClock
) -> None:
    calendars = [Calendar(seconds) for seconds in ahead]
    async with cluster() as nodes:
        a = await nodes.start("a", now=calendars[0])
        b = await nodes.start("b", now=calendars[1])
        claim = await a.publish(KEY)
        assert claim.epoch is not None
        for _ in range(6):
            await trio.sleep(RENEW_SECONDS)
            calendars[0].ahead_s -= HOURS  # somebody sets it right, again and again
            with pytest.raises(KeyElsewhere):
                await b.publish(KEY)
        assert a.losses == []
        a.die()
        died_at, taken = trio.current_time(), None
        while taken is None:
            await trio.sleep(0.25)
            try:
                taken = await b.publish(KEY)
            except KeyElsewhere:
                assert trio.current_time() - died_at < STREAM_TTL_SECONDS
        assert taken.epoch is not None
        assert taken.epoch > claim.epoch


@asynccontextmanager
async def servers(calendars: Sequence[Calendar]) -> AsyncIterator[Sequence[Harness]]:
    """One for each calendar."""
    network = MemoryNetwork()
    async with cluster() as nodes, AsyncExitStack() as stack:
        running = []
        for place, calendar in enumerate(calendars):
            port = 1935 + place
            node = await nodes.start(f"node{place}", port=port, now=calendar)

            def in_world(world: World, claims: StreamClaims = node.membership, calendar: Calendar = calendar) -> World:
                return evolve(world, claims=claims, now=calendar)

            text = f"{WAIT_FOR_ALL}workflow w {{\n{STEPS.format(port=port)}\n}}\n"
            running.append(await stack.enter_async_context(Harness(text, network=network, in_world=in_world)))
        yield running


@pytest.mark.thorough
async def test_a_pull_that_is_refused_for_its_clock_says_so_and_comes_when_the_clock_is_right(
    autojump_clock: MockClock,
) -> None:
    calendars = [Calendar(0), Calendar(5 * HOURS)]
    async with servers(calendars) as (origin, edge):
        await origin.publish("live/key", SHOW)
        watcher = await edge.watch("live/key", port=1936)
        with trio.move_on_after(10):
            await watcher.receive(1)
        assert watcher.packets == []
        assert not watcher.is_disconnected
        assert origin.server.rejections.raised().keys() == {RejectReason.PLAY_TOKEN.value}
        [status] = edge.workflow("w").active_steps[1].streams
        assert f"clocks are more than {CLOCKS_APART_S} s apart" in (status.last_error or "")
        calendars[1].ahead_s = CLOCKS_APART_S - 10
        with trio.fail_after(10):
            await watcher.receive(1)


async def test_a_pull_goes_on_when_a_clock_is_set(autojump_clock: MockClock) -> None:
    calendars = [Calendar(0), Calendar(-CLOCKS_APART_S / 2)]
    async with servers(calendars) as (origin, edge):
        publisher = await origin.publish("live/key", SHOW)
        watcher = await edge.watch("live/key", port=1936)
        with trio.fail_after(10):
            await watcher.receive(1)
        calendars[1].ahead_s, calendars[0].ahead_s = 9 * HOURS, -9 * HOURS
        before = len(watcher.packets)
        for _ in range(20):
            await trio.sleep(1)
            await publisher.send(SHOW[:1])
        with trio.fail_after(10):
            await watcher.receive(before + 20)
        assert origin.server.rejections.raised() == {}
