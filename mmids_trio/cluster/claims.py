"""What steps want of a cluster: that a key is theirs alone, and where a key is that is not here. Two Protocols."""

from collections.abc import Callable
from typing import Protocol

from mmids_trio.cluster.directory import StreamEntry, StreamKey
from mmids_trio.errors import MmidsError


class KeyElsewhere(MmidsError):
    """Another node has the key, and is there."""


class Claim(Protocol):
    """A key that is this node's."""

    @property
    def epoch(self) -> int | None:
        """Whose turn at the key it is; `None` as long as the registry has not said (it was away)."""

    def show(self, *, is_interrupted: bool) -> None:
        """Say whether its publisher is gone, so that one of another node may have the key, or here again.

        Synchronous; the registry hears of it soon, and says who has the key then.
        """

    def release(self) -> None:
        """Let go; the registry hears of it soon. Synchronous; repeating it does nothing."""


class Following(Protocol):
    """Somebody who wants to know where a key is."""

    @property
    def entry(self) -> StreamEntry | None:
        """Who has had it last with the highest epoch that was seen, whether or not it is still there."""

    @property
    def is_present(self) -> bool:
        """Whether the registry knew it when it was asked last. An absence that means nothing does not count."""

    async def wait_looked_up(self) -> None:
        """Wait for the first answer, or for the registry to be away."""

    def look_again(self) -> None:
        """Ask now: what came from there has ended, and the hint that says why may be lost. Synchronous."""

    def stop(self) -> None:
        """Want it no more. Synchronous; repeating it does nothing."""


class StreamClaims(Protocol):
    """The cluster that a server is in."""

    async def claim(self, key: StreamKey, on_lost: Callable[[str], None]) -> Claim:
        """Wait until the key is this node's, for a publisher that is here.

        `on_lost` is told why, once and synchronously, when it is no more.  Raises `KeyElsewhere`, and `RegistryAway`
        where nobody can be asked and `on_registry_failure` is `deny`.  With `allow` the key is ours until the registry
        is back and says that it is another's.  One node claims a key once.
        """

    def follow(self, key: StreamKey, on_change: Callable[[], None]) -> Following:
        """Keep asking where a key is; `on_change` is called, synchronously, whenever `entry` or `is_present` differ."""

    def is_from_peer(self, token: str, key: StreamKey) -> bool:
        """Whether a pull that shows `token` comes from a node of this cluster, for this key."""

    def pull_token(self, key: StreamKey) -> str:
        """What a pull of ours shows."""
