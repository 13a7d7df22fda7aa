"""What all nodes of a fleet are asked, and what came of it. Pure, and light: the HTTP API knows no more of a fleet."""

from typing import Literal

from attrs import frozen

from mmids_trio.cluster.revisions import NodePlan, Stage


@frozen
class Question:
    """A configuration for all nodes. `based_on`: the revision that has to be the decided one, `None` for any.

    `max_disconnects`: of publishers and watchers of all nodes. `wait`: seconds to see all nodes carry it out.
    """

    text: str
    who: str
    is_plan: bool = False
    take_over: bool = False
    in_place: bool | None = None
    allow_empty: bool = False
    based_on: int | None = None
    max_disconnects: int | None = None
    wait: float = 30.0


@frozen
class NodeAnswer:
    """What came of a question at one node. `stage` is null for one that did not answer in time."""

    node: str
    stage: Stage | None
    reasons: tuple[str, ...]
    plan: NodePlan


Ending = Literal["planned", "applied", "refused", "too_many", "lost", "busy", "partly", "unknown"]
"""`refused`: a node cannot, `lost`: another one was decided, `partly`: decided, and a node does not have it yet."""


@frozen
class Outcome:
    """How a question ended; `number` is that of the revision that is decided then. `reason` is a sentence."""

    ending: Ending
    number: int
    nodes: tuple[NodeAnswer, ...] = ()
    reason: str = ""
