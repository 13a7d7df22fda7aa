"""Nodes of a cluster without servers: a membership each, on one registry in memory that fails as it is told to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import trio
from attrs import define, field

from mmids_trio.cluster.claims import Claim
from mmids_trio.cluster.directory import StreamKey
from mmids_trio.cluster.holdings import Loss
from mmids_trio.cluster.membership import Membership
from mmids_trio.cluster.memory import MemoryRegistry
from tests.support.directories import KEY
from tests.support.faulty_directory import Faults, FaultyDirectory, LateQuestions


@define(eq=False)
class Node:
    """One node, and the publishers that were told that their key is another's."""

    membership: Membership
    way: FaultyDirectory
    losses: list[str] = field(factory=list)
    """Why each publisher had to go."""
    why: list[Loss] = field(factory=list)
    """And of which kind each loss is."""
    _life: trio.CancelScope = field(factory=trio.CancelScope)

    async def publish(self, key: StreamKey = KEY) -> Claim:
        """Claim a key as somebody's who publishes it."""
        return await self.membership.claim(key, self.losses.append)

    def die(self) -> None:
        """End without a word, as with `kill -9`: nobody answers what it still asks."""
        self.way.away_for(1e9)
        self._life.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live, until cancelled."""
        with self._life:
            await self.membership.run(task_status=task_status)


@define(eq=False)
class Cluster:
    """Some nodes, and the registry."""

    nursery: trio.Nursery
    registry: MemoryRegistry = field(factory=MemoryRegistry)
    on_the_way: LateQuestions = field(factory=LateQuestions)
    nodes: list[Node] = field(factory=list)
    _random: Random = field(factory=lambda: Random(0))

    async def start(
        self,
        name: str,
        *,
        port: int = 1935,
        allows_on_failure: bool = True,
        faults: Faults | None = None,
        secret: str = "of us all",
        now: Callable[[], float] = trio.current_time,
    ) -> Node:
        """Start a node. `now`: its calendar."""
        way = FaultyDirectory(
            self.registry, Random(self._random.random()), Faults() if faults is None else faults, self.on_the_way
        )
        why: list[Loss] = []
        membership = Membership(
            cluster="world",
            node=name,
            address=f"rtmp://{name}:{port}",
            secret=secret,
            directory=way,
            allows_on_failure=allows_on_failure,
            entropy=self._random.randbytes,
            now=now,
            on_lost=lambda _key, _node, loss: why.append(loss),
        )
        node = Node(membership, way, why=why)
        self.nodes.append(node)
        await self.nursery.start(node.run)
        return node

    def away_for(self, seconds: float) -> None:
        """The registry answers no node for so long."""
        for node in self.nodes:
            node.way.away_for(seconds)


@asynccontextmanager
async def cluster(seed: int = 0) -> AsyncIterator[Cluster]:
    """A cluster without nodes yet; all end with it."""
    async with trio.open_nursery() as nursery:
        yield Cluster(nursery, random=Random(seed))
        nursery.cancel_scope.cancel()
