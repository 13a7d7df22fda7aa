"""A registry in memory, for tests and simulations: what Redis and etcd do, on trio's clock and without a network.

`MemoryRegistry` is what all nodes share, and synchronous: an operation of it happens in one instant.  `MemoryDirectory`
is one node's way to it; whoever wants answers to get lost on that way overrides `ask`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Generic, TypeVar

import trio
from attrs import define, evolve, field, frozen

from mmids_trio.cluster.directory import (
    NODE_TTL_SECONDS,
    STREAM_TTL_SECONDS,
    Document,
    Incarnation,
    NodeEntry,
    StreamEntry,
    StreamKey,
)
from mmids_trio.cluster.hints import Hints

Answer = TypeVar("Answer")
Name = TypeVar("Name")
Held = TypeVar("Held")


@frozen
class _Kept(Generic[Held]):
    held: Held
    expires: float
    """On trio's clock."""


@define(eq=False)
class _Shelf(Generic[Name, Held]):
    """Entries of one kind. Whoever puts, gets or lists tells the time: what has expired by then is not there."""

    _on_expired: Callable[[Name], None] = lambda _: None
    _kept: dict[Name, _Kept[Held]] = field(factory=dict, init=False)
    _next: float = field(default=inf, init=False)
    """Nothing expires before. So not each of many questions looks at each of many entries."""

    def get(self, name: Name, now: float) -> Held | None:
        self._expire(now)
        kept = self._kept.get(name)
        return None if kept is None else kept.held

    def items(self, now: float) -> list[tuple[Name, Held]]:
        self._expire(now)
        return [(name, kept.held) for name, kept in self._kept.items()]

    def put(self, name: Name, held: Held, expires: float) -> None:
        self._kept[name] = _Kept(held, expires)
        self._next = min(self._next, expires)

    def remove(self, name: Name) -> None:
        self._kept.pop(name, None)

    def clear(self) -> None:
        self._kept.clear()

    def _expire(self, now: float) -> None:
        if now < self._next:
            return
        expired = [name for name, kept in self._kept.items() if kept.expires <= now]
        for name in expired:
            del self._kept[name]
        self._next = min((kept.expires for kept in self._kept.values()), default=inf)
        for name in expired:
            self._on_expired(name)


@define(eq=False)
class MemoryRegistry:
    """All entries of all nodes. What has expired is not there."""

    now: Callable[[], float] = trio.current_time
    operations: int = field(default=0, init=False)
    """How many it was asked for."""
    hints: Hints = field(factory=Hints, init=False)
    _streams: _Shelf[StreamKey, StreamEntry] = field(init=False)
    _nodes: _Shelf[Incarnation, NodeEntry] = field(factory=_Shelf, init=False)
    _documents: _Shelf[str, Document] = field(init=False)
    _epoch: int = field(default=0, init=False)
    _lives: int = field(default=1, init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = _Shelf(self.hints.tell)
        self._documents = _Shelf(self.hints.tell)

    def forget_everything(self) -> None:
        """Lose the memory, as a Redis does that is started without its file."""
        self._streams.clear()
        self._nodes.clear()
        self._documents.clear()
        self._epoch = 0
        self._lives += 1

    def claim(self, wanted: StreamEntry) -> StreamEntry:
        """See `Directory.claim`."""
        held = self.look_up(wanted.key)
        if held is None or (held.owner != wanted.owner and held.is_interrupted and not wanted.is_interrupted):
            self._epoch = max(self._epoch, wanted.epoch, int(self.now() * 1000)) + 1
            held = evolve(wanted, epoch=self._epoch)
            self.hints.tell(wanted.key)
        if held.owner != wanted.owner:
            return held
        return self._keep(held, wanted.turn)

    def renew(self, held: StreamEntry) -> StreamEntry | None:
        """See `Directory.renew`."""
        present = self.look_up(held.key)
        if present is None or not present.is_of(held):
            return present
        return self._keep(present, held.turn)

    def release(self, held: StreamEntry) -> None:
        """See `Directory.release`."""
        present = self.look_up(held.key)
        if present is not None and present.is_of(held):
            self._streams.remove(held.key)
            self.hints.tell(held.key)

    def look_up(self, key: StreamKey) -> StreamEntry | None:
        """See `Directory.look_up`."""
        return self._streams.get(key, self.now())

    def streams(self) -> Sequence[StreamEntry]:
        """See `Directory.streams`."""
        return [entry for _, entry in self._streams.items(self.now())]

    def announce(self, node: NodeEntry) -> None:
        """See `Directory.announce`."""
        self._nodes.put(node.owner, node, self.now() + NODE_TTL_SECONDS)

    def leave(self, owner: Incarnation) -> None:
        """See `Directory.leave`."""
        self._nodes.remove(owner)

    def nodes(self) -> Sequence[NodeEntry]:
        """See `Directory.nodes`."""
        return [entry for _, entry in self._nodes.items(self.now())]

    def generation(self) -> str:
        """See `Directory.generation`."""
        return str(self._lives)

    def read(self, name: str) -> Document | None:
        """See `Directory.read`."""
        return self._documents.get(name, self.now())

    def write(self, name: str, text: str, expected: int | None, ttl_s: float | None) -> Document | None:
        """See `Directory.write`."""
        present = self.read(name)
        version = 0 if present is None else present.version
        if expected not in (None, version):
            return None
        written = Document(text, version + 1)
        self._documents.put(name, written, inf if ttl_s is None else self.now() + ttl_s)
        self.hints.tell(name)
        return written

    def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """See `Directory.documents`."""
        found = self._documents.items(self.now())
        return sorted((name, document) for name, document in found if name.startswith(prefix))

    def _keep(self, present: StreamEntry, turn: int) -> StreamEntry:
        kept = evolve(present, turn=max(present.turn, turn))
        self._streams.put(kept.key, kept, self.now() + STREAM_TTL_SECONDS)
        return kept


@define(eq=False)
class MemoryDirectory:
    """A node's way to a registry in memory. See `Directory`."""

    registry: MemoryRegistry = field(factory=MemoryRegistry)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """See `Directory`."""
        yield

    async def ask(self, operation: Callable[[], Answer]) -> Answer:
        """Have an operation done. What is between a node and its registry is here."""
        await trio.lowlevel.checkpoint()
        return self.arrive(operation)

    def arrive(self, operation: Callable[[], Answer]) -> Answer:
        """It has arrived."""
        self.registry.operations += 1
        return operation()

    async def claim(self, wanted: StreamEntry) -> StreamEntry:
        """See `Directory`."""
        return await self.ask(partial(self.registry.claim, wanted))

    async def renew(self, held: StreamEntry) -> StreamEntry | None:
        """See `Directory`."""
        return await self.ask(partial(self.registry.renew, held))

    async def release(self, held: StreamEntry) -> None:
        """See `Directory`."""
        await self.ask(partial(self.registry.release, held))

    async def look_up(self, key: StreamKey) -> StreamEntry | None:
        """See `Directory`."""
        return await self.ask(partial(self.registry.look_up, key))

    async def streams(self) -> Sequence[StreamEntry]:
        """See `Directory`."""
        return await self.ask(self.registry.streams)

    async def announce(self, node: NodeEntry) -> None:
        """See `Directory`."""
        await self.ask(partial(self.registry.announce, node))

    async def leave(self, owner: Incarnation) -> None:
        """See `Directory`."""
        await self.ask(partial(self.registry.leave, owner))

    async def nodes(self) -> Sequence[NodeEntry]:
        """See `Directory`."""
        return await self.ask(self.registry.nodes)

    async def generation(self) -> str:
        """See `Directory`."""
        return await self.ask(self.registry.generation)

    async def read(self, name: str) -> Document | None:
        """See `Directory`."""
        return await self.ask(partial(self.registry.read, name))

    async def write(self, name: str, text: str, expected: int | None, ttl_s: float | None = None) -> Document | None:
        """See `Directory`."""
        return await self.ask(partial(self.registry.write, name, text, expected, ttl_s))

    async def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """See `Directory`."""
        return await self.ask(partial(self.registry.documents, prefix))

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[AsyncGenerator[StreamKey | str, None]]:
        """See `Directory`."""
        await trio.lowlevel.checkpoint()
        async with self.registry.hints.listening() as changes:
            yield changes
