"""A registry in memory, for tests and simulations: what Redis and etcd do, on trio's clock and without a network.

`MemoryRegistry` is what all nodes share, and synchronous: an operation of it happens in one instant.  `MemoryDirectory`
is one node's way to it; whoever wants answers to get lost on that way overrides `ask`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar

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
Held = TypeVar("Held")


@frozen
class _Kept(Generic[Held]):
    held: Held
    expires: float
    """On trio's clock."""


@define(eq=False)
class MemoryRegistry:
    """All entries of all nodes. What has expired is not there."""

    now: Callable[[], float] = trio.current_time
    operations: int = field(default=0, init=False)
    """How many it was asked for."""
    _streams: dict[StreamKey, _Kept[StreamEntry]] = field(factory=dict, init=False)
    _nodes: dict[Incarnation, _Kept[NodeEntry]] = field(factory=dict, init=False)
    _documents: dict[str, _Kept[Document]] = field(factory=dict, init=False)
    _epoch: int = field(default=0, init=False)
    _lives: int = field(default=1, init=False)
    hints: Hints = field(factory=Hints, init=False)

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
        if held is None:
            self._epoch = max(self._epoch, wanted.epoch, int(self.now() * 1000)) + 1
            held = evolve(wanted, epoch=self._epoch)
            self.hints.tell(wanted.key)
        if held.owner == wanted.owner:
            self._streams[wanted.key] = _Kept(held, self.now() + STREAM_TTL_SECONDS)
        return held

    def renew(self, held: StreamEntry) -> StreamEntry | None:
        """See `Directory.renew`."""
        present = self.look_up(held.key)
        if present == held:
            self._streams[held.key] = _Kept(held, self.now() + STREAM_TTL_SECONDS)
        return present

    def release(self, held: StreamEntry) -> None:
        """See `Directory.release`."""
        if self.look_up(held.key) == held:
            del self._streams[held.key]
            self.hints.tell(held.key)

    def look_up(self, key: StreamKey) -> StreamEntry | None:
        """See `Directory.look_up`."""
        self._expire(self._streams)
        kept = self._streams.get(key)
        return None if kept is None else kept.held

    def streams(self) -> Sequence[StreamEntry]:
        """See `Directory.streams`."""
        self._expire(self._streams)
        return [kept.held for kept in self._streams.values()]

    def announce(self, node: NodeEntry) -> None:
        """See `Directory.announce`."""
        self._nodes[node.owner] = _Kept(node, self.now() + NODE_TTL_SECONDS)

    def leave(self, owner: Incarnation) -> None:
        """See `Directory.leave`."""
        self._nodes.pop(owner, None)

    def nodes(self) -> Sequence[NodeEntry]:
        """See `Directory.nodes`."""
        self._expire(self._nodes)
        return [kept.held for kept in self._nodes.values()]

    def generation(self) -> str:
        """See `Directory.generation`."""
        return str(self._lives)

    def read(self, name: str) -> Document | None:
        """See `Directory.read`."""
        self._expire(self._documents)
        kept = self._documents.get(name)
        return None if kept is None else kept.held

    def write(self, name: str, text: str, expected: int | None, ttl_s: float | None) -> Document | None:
        """See `Directory.write`."""
        present = self.read(name)
        version = 0 if present is None else present.version
        if expected not in (None, version):
            return None
        written = Document(text, version + 1)
        self._documents[name] = _Kept(written, inf if ttl_s is None else self.now() + ttl_s)
        self.hints.tell(name)
        return written

    def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """See `Directory.documents`."""
        self._expire(self._documents)
        return [(name, kept.held) for name, kept in sorted(self._documents.items()) if name.startswith(prefix)]

    def _expire(self, kept: dict[Any, _Kept[Any]]) -> None:
        now = self.now()
        for key in [key for key, value in kept.items() if value.expires <= now]:
            del kept[key]
            if isinstance(key, StreamKey | str):
                self.hints.tell(key)


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
