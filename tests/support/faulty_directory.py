"""A way to a registry in memory that fails, as networks and registries do: all of it seeded, on trio's clock.

Lost is a question (nothing happens), or only its answer (it happens, and the node does not know).  Late are questions
that arrive after the node has given up, so in another order than they were asked.  A registry may be away for a time,
and come back with or without its memory.
"""

from collections.abc import Callable
from random import Random
from typing import Never, TypeVar

import trio
from attrs import define, field, frozen

from mmids_trio.cluster.directory import ASK_SECONDS, RegistryAway
from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry

Answer = TypeVar("Answer")

LATEST_S = 3.0
"""After which a question that was late arrives at last."""


@frozen(kw_only=True)
class Faults:
    """Shares of all questions, from 0 to 1."""

    lost: float = 0.0
    answer_lost: float = 0.0
    late: float = 0.0
    """Arrives after the node has given up."""
    slowest_s: float = 0.0
    """What arrives in time takes between nothing and this, each way."""


@define(eq=False)
class LateQuestions:
    """What is still on its way to a registry that several nodes ask; in the order in which it arrives."""

    _due: list[tuple[float, Callable[[], object]]] = field(factory=list)

    def send(self, arrives: float, operation: Callable[[], object]) -> None:
        """On the way from now on."""
        self._due.append((arrives, operation))

    def arrive(self, now: float) -> None:
        """Carry out what has arrived by now."""
        if not self._due:
            return
        arrived = sorted((late for late in self._due if late[0] <= now), key=lambda late: late[0])
        self._due = [late for late in self._due if late[0] > now]
        for _, operation in arrived:
            operation()


@define(eq=False)
class FaultyDirectory(MemoryDirectory):
    """One node's way. Nodes that share a registry share what is late as well (`on_the_way`)."""

    registry: MemoryRegistry = field(factory=MemoryRegistry)
    random: Random = field(factory=lambda: Random(0))
    faults: Faults = field(factory=Faults)
    on_the_way: LateQuestions = field(factory=LateQuestions)
    away_until: float = 0.0
    """On trio's clock; nobody answers before."""

    def away_for(self, seconds: float) -> None:
        """Answer nobody for so long."""
        self.away_until = trio.current_time() + seconds

    async def ask(self, operation: Callable[[], Answer]) -> Answer:
        """See `MemoryDirectory`."""
        chance = self.random.random()
        if trio.current_time() < self.away_until or chance < self.faults.lost:
            await self._nothing("nobody answers")
        chance -= self.faults.lost
        if chance < self.faults.late:
            self.on_the_way.send(trio.current_time() + self.random.uniform(ASK_SECONDS, LATEST_S), operation)
            await self._nothing("late")
        await self._travel()
        if trio.current_time() < self.away_until:
            await self._nothing("nobody answers")
        self.on_the_way.arrive(trio.current_time())
        answer = self.arrive(operation)
        if chance - self.faults.late < self.faults.answer_lost:
            await self._nothing("the answer is lost")
        if self.faults.slowest_s:
            await self._travel()
        return answer

    async def _travel(self) -> None:
        await trio.sleep(self.random.uniform(0, min(self.faults.slowest_s, ASK_SECONDS / 2)))

    async def _nothing(self, why: str) -> Never:
        await trio.sleep(ASK_SECONDS)
        raise RegistryAway(why)
