"""What a cluster writes into its registry, as one Protocol: Redis, etcd and memory are behind it.

The registry is a hint, and the connection the truth: what is on the air never ends because an entry is missing.  A
stream belongs to an *incarnation* of a node, one life of its process, and each time that it changes hands its epoch
grows.  Whoever renews is compared with the entry, so that a process that was stopped and wakes up finds out that its
streams are another's by now.

Entries: `node/{node}/{incarnation}` (10 s), `stream/{app}/{key}` (5 s, renewed every 1.5 s), `generation` (for ever),
and documents by name, of which `config/{fleet}` and `apply/{revision}/{node}` are made.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen

from mmids_trio.errors import MmidsError

NODE_TTL_SECONDS = 10.0
STREAM_TTL_SECONDS = 5.0
RENEW_SECONDS = 1.5
"""From one renewal of an entry to the next."""
ASK_SECONDS = 1.0
"""How long a registry may take for an answer; then it counts as away."""


class RegistryAway(MmidsError):
    """The registry did not answer, or not in time. Whether it did what it was asked is not known."""


@frozen
class StreamKey:
    """What publishers and players name a stream by, all over the cluster."""

    app: str
    key: str

    def __str__(self) -> str:
        return f"{self.app}/{self.key}"


@frozen
class Incarnation:
    """One life of a node's process: `number` is drawn when it starts."""

    node: str
    number: str

    def __str__(self) -> str:
        return f"{self.node}/{self.number}"


@frozen
class StreamEntry:
    """Who has a stream. `epoch` is higher than of who had it before; `address` (`rtmp://HOST:PORT`) serves it."""

    key: StreamKey
    owner: Incarnation
    epoch: int
    address: str
    turn: int = 0
    """How often its publisher was lost or came back: odd while its owner waits for one.

    A number and no flag, as questions may arrive in another order than they were asked.
    """

    @property
    def is_interrupted(self) -> bool:
        """Whether its owner waits for a publisher, so that one of another node may have the key."""
        return self.turn % 2 == 1

    def is_of(self, other: "StreamEntry") -> bool:
        """Whether it is the other one, whichever turn either shows."""
        return (self.key, self.owner, self.epoch, self.address) == (other.key, other.owner, other.epoch, other.address)


@frozen
class NodeEntry:
    """A node that is there. `is_draining`: it takes no new streams."""

    owner: Incarnation
    address: str
    is_draining: bool = False
    revision: int = 0
    """Of the fleet's configuration that it serves."""


@frozen
class Document:
    """A text, and the number of its version, from 1 on."""

    text: str
    version: int


class Directory(Protocol):
    """A registry. Every method raises `RegistryAway` after `ASK_SECONDS` at the latest, and may be cancelled."""

    def connected(self) -> AbstractAsyncContextManager[None]:
        """What it needs as long as it is asked. It may be entered again afterwards, and while the registry is away."""

    async def claim(self, wanted: StreamEntry) -> StreamEntry:
        """Make the key `wanted.owner`'s for `STREAM_TTL_SECONDS` where nobody else has it; returns who has it then.

        Whoever waits for a publisher (`is_interrupted`) gives way to whoever has one, in one step of the registry.
        The epoch of a new entry is higher than any that the registry knows, and than `wanted.epoch`, which is the
        highest that the caller has seen: a registry that has lost its memory does not start again.  One count serves
        all keys, so that keys that come and go leave nothing behind.  It is at least the time in milliseconds where the
        registry has a clock: epochs grow even if nobody remembers the last one.  Who has the key keeps its entry,
        with the later turn.
        """

    async def renew(self, held: StreamEntry) -> StreamEntry | None:
        """Keep it for as long again if the entry is this very one; returns who has it then, `None` for nobody.

        It shows `held.turn` from then on, unless it shows a later one.
        """

    async def release(self, held: StreamEntry) -> None:
        """Remove the entry if it is this very one, in whichever turn."""

    async def look_up(self, key: StreamKey) -> StreamEntry | None:
        """Who has it."""

    async def streams(self) -> Sequence[StreamEntry]:
        """All that anybody has."""

    async def announce(self, node: NodeEntry) -> None:
        """Say for `NODE_TTL_SECONDS` that a node is there."""

    async def leave(self, owner: Incarnation) -> None:
        """It is not any more."""

    async def nodes(self) -> Sequence[NodeEntry]:
        """All that are there, those of several incarnations too."""

    async def generation(self) -> str:
        """What changes when the registry has lost its memory; the first who asks an empty one draws it."""

    async def read(self, name: str) -> Document | None:
        """A document."""

    async def write(self, name: str, text: str, expected: int | None, ttl_s: float | None = None) -> Document | None:
        """Write it if its version is `expected` (0: there is none, `None`: any). `None` where that was not so.

        Raises `ValueError` for a text that is too long to be kept.
        """

    async def documents(self, prefix: str) -> Sequence[tuple[str, Document]]:
        """All whose names begin so, with their names."""

    def changes(self) -> AbstractAsyncContextManager[AsyncGenerator[StreamKey | str, None]]:
        """Keys of streams and names of documents that have changed, as hints that may get lost or come twice."""
