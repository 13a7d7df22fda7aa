"""The keys that publishers of this node have in the cluster: claimed before a stream begins, let go when it ends."""

from collections.abc import Callable

from attrs import define, field

from mmids_trio.cluster.claims import Claim, KeyElsewhere, StreamClaims
from mmids_trio.cluster.directory import RegistryAway, StreamKey
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.server.endpoints import RequestRefused

BUSY = "NetStream.Publish.BadName"

GRACE_SECONDS = 30.0
"""How long a stream of a cluster waits for its publisher, or for its next owner, unless told otherwise."""


@define(eq=False)
class HeldKey:
    """A key that a stream of this node has, or is about to have."""

    keys: "ClaimedKeys"
    key: StreamKey
    tell: Callable[[str], None]
    lost: str | None = field(default=None, init=False)
    """Why it is not ours any more."""
    claim: Claim | None = field(default=None, init=False)
    """`None` until it is ours."""
    _end_stream: Callable[[], None] | None = field(default=None, init=False)
    """Ends its stream, as long as that waits for its publisher."""

    def lose(self, why: str) -> None:
        """It is another node's. Where its stream waits for a publisher, nobody is sent away."""
        self.lost = why
        if self._end_stream is None:
            self.keys.rejections.count(RejectReason.KEY_LOST)
        self.tell(why)

    def wait_for_publisher(self, end_stream: Callable[[], None]) -> None:
        """Its stream is interrupted, which `end_stream` ends: its publisher may go to another node meanwhile."""
        self._turn(end_stream)

    def wait_no_more(self) -> None:
        """Its stream has a publisher again. Repeating it does nothing."""
        self._turn(None)

    def _turn(self, end_stream: Callable[[], None] | None) -> None:
        self._end_stream = end_stream
        if self.claim is not None:
            self.claim.show(is_interrupted=end_stream is not None)

    def free_if_waiting(self) -> None:
        """End its stream if that waits for its publisher; another node may take the key then."""
        if self._end_stream is not None:
            self._end_stream()

    def release(self) -> None:
        """Let go. Synchronous; repeating it does nothing."""
        self.keys.forget(self)
        if self.claim is not None:
            self.claim.release()


@define(eq=False)
class ClaimedKeys:
    """All of a server: a key may come to several steps of it, and a node claims a key once.

    `rejections` counts publishers that have lost their key.
    """

    claims: StreamClaims
    rejections: RejectCounters = field(factory=RejectCounters)
    _held: dict[StreamKey, HeldKey] = field(factory=dict, init=False)

    async def hold(self, key: StreamKey, on_lost: Callable[[str], None]) -> HeldKey:
        """Wait until the key is this node's; raises `RequestRefused`. `on_lost` is told why, when it is no more."""
        if key in self._held:
            raise RequestRefused(BUSY, f"stream key '{key.key}' is being published already", RejectReason.KEY_BUSY)
        held = self._held[key] = HeldKey(self, key, on_lost)
        try:
            held.claim = await self.claims.claim(key, held.lose)
        except KeyElsewhere as error:
            what = f"stream key '{key.key}' is being published at another node"
            raise RequestRefused(BUSY, what, RejectReason.KEY_ELSEWHERE) from error
        except RegistryAway as error:
            what = "the registry of the cluster does not answer, and on_registry_failure is deny"
            raise RequestRefused(BUSY, what, RejectReason.REGISTRY_AWAY) from error
        finally:
            if held.claim is None:
                self.forget(held)
        return held

    def free_waiting(self) -> None:
        """End the streams that wait for publishers, who may not come back here; others may take them. Synchronous."""
        for held in list(self._held.values()):
            held.free_if_waiting()

    def forget(self, held: HeldKey) -> None:
        """It is let go of."""
        if self._held.get(held.key) is held:
            del self._held[held.key]
