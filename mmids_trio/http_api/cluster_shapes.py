"""The JSON of the HTTP API about a cluster: its nodes, their streams, and changes of all nodes at once."""

from attrs import frozen

from mmids_trio.cluster.questions import Ending
from mmids_trio.cluster.revisions import NodePlan, Stage


@frozen
class ClusterKeyView:
    """A key of the cluster: the name of a stream in an RTMP application."""

    app: str
    name: str


@frozen
class ClusterNodeView:
    """A node. `incarnation`: which life of its process; `revision`: of the fleet's configuration that it serves.

    `streams`, `publishers`, `watchers` and `interrupted` are null where the node has not said yet. `interrupted`: so
    many keys of the node wait for their publisher, who may come to any node; `waiting` has some of them. `reasons`: why
    it does not serve what is decided, and is being emptied for that.
    """

    node: str
    incarnation: str
    address: str
    draining: bool
    revision: int
    streams: int | None
    publishers: int | None
    watchers: int | None
    interrupted: int | None
    waiting: tuple[ClusterKeyView, ...] = ()
    reasons: tuple[str, ...] = ()


@frozen
class ClusterView:
    """A cluster, as the node `node` of it sees it. `registry`: `up`, or `away`; then `nodes` are those of before.

    `revision`: of the fleet's configuration that is decided; 0 for none. `warnings`: what somebody has to look at.
    """

    name: str
    node: str
    registry: str
    revision: int
    nodes: tuple[ClusterNodeView, ...]
    warnings: tuple[str, ...]


@frozen
class ClusterStreamView:
    """A stream at a node; in a cluster one stream is at each node that has watchers of it. `bitrate`: bits a second."""

    node: str
    id: str
    name: str
    workflow: str
    state: str
    bitrate: int
    watchers: int


@frozen
class ClusterStreamPage:
    """Some of the streams of all nodes, by node. `next`: what `after` has to be for the rest; null where there is none.

    `left_out`: streams that their nodes do not tell others of, as they have too many.
    """

    streams: tuple[ClusterStreamView, ...]
    next: str | None
    left_out: int


@frozen
class FleetNodeAnswer:
    """What came of a configuration at one node. `stage` is null where the node did not answer in time."""

    node: str
    stage: Stage | None
    reasons: tuple[str, ...]
    plan: NodePlan


@frozen
class FleetAnswer:
    """What came of a configuration for all nodes. `revision` is the decided one; so many clients are cut."""

    ending: Ending
    revision: int
    changed: bool
    publishers: int
    watchers: int
    nodes: tuple[FleetNodeAnswer, ...]


@frozen
class FleetRefusal:
    """Why it was not decided, or is not in place everywhere (`partly`)."""

    error: str
    ending: Ending
    revision: int
    nodes: tuple[FleetNodeAnswer, ...]
