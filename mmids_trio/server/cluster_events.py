"""What a node hears of its registry, told as events: what is in `cluster/` knows no events."""

from collections.abc import Callable

from attrs import frozen

from mmids_trio.cluster.directory import StreamKey
from mmids_trio.errors import shortened
from mmids_trio.workflow.events import HubEvent, KeyLost, RegistryCameBack, RegistryWentAway


@frozen
class ClusterEvents:
    """Those of one node, for the hooks of its `Membership`."""

    _node: str
    _publish: Callable[[HubEvent], None]

    def away(self, is_away: bool) -> None:
        """The registry has gone, or is back."""
        self._publish(RegistryWentAway(self._node) if is_away else RegistryCameBack(self._node))

    def lost(self, key: StreamKey, node: str) -> None:
        """A key is another node's now."""
        self._publish(KeyLost(self._node, shortened(key.app), shortened(key.key), node))
