"""Hints that something in a registry has changed, for all who listen; whoever does not keep up misses some."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import trio
from attrs import define, field

from mmids_trio.cluster.directory import StreamKey

HINTS_HELD = 256
"""For one who listens; what is beyond gets lost, as hints may."""


@define(eq=False)
class Hints:
    """Tells all who listen. Synchronous, and never waits for them."""

    _listeners: "set[trio.MemorySendChannel[StreamKey | str]]" = field(factory=set, init=False)

    def tell(self, what: StreamKey | str) -> None:
        """A stream, or a document, has changed."""
        for listener in self._listeners:
            try:
                listener.send_nowait(what)
            except (trio.WouldBlock, trio.BrokenResourceError):  # full, or about to be taken off
                continue

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncGenerator[StreamKey | str, None]]:
        """See `Directory.changes`."""
        tell, told = trio.open_memory_channel[StreamKey | str](HINTS_HELD)
        self._listeners.add(tell)
        try:
            async with aclosing(_received(told)) as changes:
                yield changes
        finally:
            self._listeners.discard(tell)


async def _received(told: "trio.MemoryReceiveChannel[StreamKey | str]") -> AsyncGenerator[StreamKey | str, None]:
    async with told:
        async for what in told:
            yield what
