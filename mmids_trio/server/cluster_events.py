"""What a node hears of its registry, told as events: what is in `cluster/` knows no events."""

from collections.abc import Callable

from attrs import frozen

from mmids_trio.cluster.directory import StreamKey
from mmids_trio.cluster.holdings import Loss
from mmids_trio.errors import shortened
from mmids_trio.workflow.events import HubEvent, KeyLost, KeyMoved, RegistryCameBack, RegistryWentAway


@frozen
class ClusterEvents:
    """Those of one node, for the hooks of its `Membership`."""

    _node: str
    _publish: Callable[[HubEvent], None]

    def away(self, is_away: bool) -> None:
        """The registry has gone, or is back."""
        self._publish(RegistryWentAway(self._node) if is_away else RegistryCameBack(self._node))

    def lost(self, key: StreamKey, node: str, loss: Loss) -> None:
        """A key is another node's now."""
        app, name = shortened(key.app), shortened(key.key)
        if loss is Loss.MOVED:
            self._publish(KeyMoved(self._node, app, name, node))
        else:
            self._publish(KeyLost(self._node, app, name, node, loss.value))
