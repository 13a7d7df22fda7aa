"""Whatever a registry does, and wherever the publisher goes: who watches stays, and sees one time that goes forward.

Whole servers with a real membership each, on a registry in memory that loses, delays, reorders and forgets, on the
mock clock; a schedule of faults for each seed.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
import trio
from attrs import define, evolve, field
from trio.testing import MockClock

from mmids_trio.cluster.membership import Membership
from mmids_trio.cluster.memory import MemoryRegistry
from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.events import StreamEofReceived
from mmids_trio.server.building import World
from mmids_trio.testing.clients import ClientRefused, Disconnected, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import MemoryNetwork
from tests.support.edge_nodes import STEPS, is_monotonic
from tests.support.effort import first_are_fast
from tests.support.faulty_directory import Faults, FaultyDirectory, LateQuestions
from tests.support.publishing import WAIT_FOR_ALL

SHOW = generate_stream(seconds=4, fps=5, gop=5, audio=False, b_frames=0)
SEEDS = range(8)
NAMES = "abc"
STORM_SECONDS = 60.0
CALM_SECONDS = 45.0
"""Three TTLs in which absences mean nothing, the grace, and some."""


@define(eq=False)
class World3:
    """Three servers, an encoder that goes from one to the other, and two players of each."""

    random: Random
    nursery: trio.Nursery
    registry: MemoryRegistry = field(factory=MemoryRegistry)
    late: LateQuestions = field(factory=LateQuestions)
    ways: list[FaultyDirectory] = field(factory=list)
    nodes: list[Harness] = field(factory=list)
    players: list[RtmpClient] = field(factory=list)
    encoder: RtmpClient | None = None
    wishes: int = 0
    """The node that the encoder tries first."""

    def membership(self, name: str, port: int, faults: Faults) -> Membership:
        """A node's part."""
        way = FaultyDirectory(self.registry, Random(self.random.random()), faults, self.late)
        self.ways.append(way)
        return Membership(
            cluster="world",
            node=name,
            address=f"rtmp://{name}.example:{port}",
            secret="of us all",
            directory=way,
            entropy=self.random.randbytes,
            now=trio.current_time,
        )

    async def play(self, node: int) -> None:
        """Watch for ever."""
        player = await self.nodes[node].watch("live/key", port=1935 + node)
        self.players.append(player)
        await player.read_until_closed()

    async def encode(self) -> None:
        """Publish for ever, wherever it is let in."""
        while True:
            try:
                port = 1935 + self.wishes
                self.encoder = await self.nodes[self.wishes].publish("live/key", port=port)
                while True:
                    await self.encoder.play(SHOW)
                    await trio.sleep(0.2)
            except (ClientRefused, Disconnected, ProtocolError, trio.ClosedResourceError):
                self.encoder = None
                await trio.sleep(0.5)
                self.wishes = (self.wishes + 1) % len(NAMES)

    async def storm(self) -> None:
        """Something goes wrong every few seconds."""
        ends = trio.current_time() + STORM_SECONDS
        while trio.current_time() < ends:
            await trio.sleep(self.random.uniform(0.5, 6))
            what = self.random.choice(["away", "away of one", "forget", "move", "goodbye"])
            if what == "away":
                seconds = self.random.uniform(1, 12)
                for way in self.ways:
                    way.away_for(seconds)
            elif what == "away of one":
                self.random.choice(self.ways).away_for(self.random.uniform(1, 12))
            elif what == "forget":
                self.registry.forget_everything()
            elif self.encoder is not None:
                self.wishes = self.random.randrange(len(NAMES))
                if what == "move":
                    self.encoder.close()
                else:
                    await self.encoder.unpublish()
                    self.encoder.close()


@asynccontextmanager
async def three_nodes(seed: int) -> AsyncIterator[World3]:
    """The servers run, and all clients are here."""
    random = Random(seed)
    faults = Faults(
        lost=random.uniform(0, 0.1),
        answer_lost=random.uniform(0, 0.1),
        late=random.uniform(0, 0.1),
        slowest_s=random.uniform(0, 0.3),
    )
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        world3 = World3(random, nursery)
        for place, name in enumerate(NAMES):
            port = 1935 + place
            membership = world3.membership(name, port, faults)
            await nursery.start(membership.run)

            def in_world(world: World, membership: Membership = membership) -> World:
                return evolve(world, claims=membership)

            text = f"{WAIT_FOR_ALL}workflow w {{\n{STEPS.format(port=port)}\n}}\n"
            harness = Harness(text, network=network, in_world=in_world)
            world3.nodes.append(await stack.enter_async_context(harness))
        nursery.start_soon(world3.encode)
        for node in (0, 0, 1, 1, 2, 2):
            nursery.start_soon(world3.play, node)
        yield world3
        nursery.cancel_scope.cancel()


def lengths(players: Sequence[RtmpClient]) -> list[int]:
    return [len(player.packets) for player in players]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", SEEDS)
async def test_players_stay_and_see_one_time_and_have_media_when_all_is_calm(
    seed: int, autojump_clock: MockClock
) -> None:
    async with three_nodes(seed) as world3:
        await trio.sleep(10)
        await world3.storm()
        await trio.sleep(CALM_SECONDS)
        before = lengths(world3.players)
        await trio.sleep(10)
        after = lengths(world3.players)
        assert not any(player.is_disconnected for player in world3.players)
        assert all(is_monotonic(player.packets) for player in world3.players)
        assert len(before) == 6
        assert all(later - earlier > 20 for earlier, later in zip(before, after, strict=True)), (before, after)


@pytest.mark.parametrize("seed", first_are_fast(1, SEEDS[:4]))
async def test_a_registry_alone_ends_nothing(seed: int, autojump_clock: MockClock) -> None:
    async with three_nodes(seed) as world3:
        await trio.sleep(20)
        encoder, before = world3.encoder, lengths(world3.players)
        for _ in range(8):
            await trio.sleep(world3.random.uniform(0.5, 6))
            if world3.random.random() < 0.5:
                world3.registry.forget_everything()
            for way in world3.ways:
                way.away_for(world3.random.uniform(1, 15))
        await trio.sleep(5)
        assert world3.encoder is encoder is not None
        assert not encoder.is_disconnected
        assert all(later - earlier > 60 for earlier, later in zip(before, lengths(world3.players), strict=True))
        assert not any(isinstance(event, StreamEofReceived) for player in world3.players for event in player.events)
