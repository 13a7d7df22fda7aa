"""What nodes agree about when they change together: revisions of one configuration, and what each says of them. Pure.

One document, `config/fleet`, holds all that is decided, and is written by compare-and-set alone:

    nothing proposed ── propose ──> proposed ── decide ──> decided, nothing proposed
           ^                           │
           └───────── withdraw ────────┘

Who finds a proposal says in a document of its own whether it could carry it out.  The decision is one write, so there
is no instant at which one node must and another must not: whoever reads the document afterwards, also one that was not
there before, carries out what is decided.  A proposal whose proposer is gone is nothing but a number that was used up.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from attrs import asdict, evolve, field, frozen

from mmids_trio.cluster.directory import Incarnation, NodeEntry
from mmids_trio.errors import MmidsError

FLEET = "fleet"
"""The name of the configuration that all nodes have, and of the set that it is at each of them."""

CONFIG_NAME = f"config/{FLEET}"

MAX_REASONS, MAX_REASON_LENGTH = 20, 500
"""Of what one node says against a revision."""


class Unreadable(MmidsError):
    """A document that this version has not written."""


@frozen
class Revision:
    """A configuration as a whole. `text` is sealed; `who`: by which token it came."""

    number: int
    text: str
    who: str
    take_over: bool = False
    in_place: bool | None = None
    allow_empty: bool = False


@frozen
class Proposal:
    """What is asked of all nodes. `is_plan`: it is never going to be decided."""

    revision: Revision
    by: Incarnation
    is_plan: bool = False


@frozen
class FleetState:
    """What the document says. `highest`: the largest number that was given to a revision."""

    highest: int = 0
    decided: Revision | None = None
    proposal: Proposal | None = None

    @property
    def number(self) -> int:
        """Of what is decided."""
        return 0 if self.decided is None else self.decided.number

    def propose(self, proposal: Proposal) -> "FleetState":
        """With this proposal, in the place of another one."""
        assert proposal.revision.number > self.highest
        return evolve(self, highest=proposal.revision.number, proposal=proposal)

    def withdraw(self) -> "FleetState":
        """With no proposal."""
        return evolve(self, proposal=None)

    def decide(self) -> "FleetState":
        """With the proposal as what is decided."""
        assert self.proposal is not None
        assert not self.proposal.is_plan
        return evolve(self, decided=self.proposal.revision, proposal=None)

    def restore(self, known: Revision) -> "FleetState":
        """With what a node knows to be decided, where the registry has forgotten it."""
        assert known.number > self.number
        return FleetState(max(self.highest, known.number), known, None)

    def to_text(self) -> str:
        """As the document has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "FleetState":
        """Raises `Unreadable`."""
        try:
            found = json.loads(text)
            decided, proposal = found["decided"], found["proposal"]
            return cls(
                int(found["highest"]),
                None if decided is None else Revision(**decided),
                None
                if proposal is None
                else Proposal(
                    Revision(**proposal["revision"]), Incarnation(**proposal["by"]), bool(proposal["is_plan"])
                ),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Unreadable(f"{CONFIG_NAME} in the registry is not what this version writes") from None


Stage = Literal["can", "cannot", "applied", "failed"]
"""What a node says of a revision: before it is decided, and after."""

SAYS_NO: Collection[Stage] = ("cannot", "failed")


@frozen
class NodePlan:
    """What a revision does at one node. `publishers` and `watchers` are disconnected, as of now."""

    is_changed: bool = False
    publishers: int = 0
    watchers: int = 0
    summary: str = ""


@frozen
class Report:
    """What one node says of a revision; `reasons` why it cannot, a sentence each."""

    owner: Incarnation
    stage: Stage
    reasons: tuple[str, ...] = ()
    plan: NodePlan = field(factory=NodePlan)

    @classmethod
    def of_reasons(cls, owner: Incarnation, stage: Stage, reasons: Sequence[str]) -> "Report":
        """With as many of the reasons, and as much of each, as a document may hold."""
        return cls(owner, stage, tuple(reason[:MAX_REASON_LENGTH] for reason in reasons[:MAX_REASONS]))

    def to_text(self) -> str:
        """As the document has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Report":
        """Raises `Unreadable`."""
        try:
            found: Mapping[str, Any] = json.loads(text)
            if found["stage"] not in get_args(Stage):
                raise ValueError(found["stage"])
            reasons = tuple(map(str, found["reasons"]))
            return cls(Incarnation(**found["owner"]), found["stage"], reasons, NodePlan(**found["plan"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Unreadable("a node's report in the registry is not what this version writes") from None


def report_name(number: int, node: str) -> str:
    """Where a node says what it thinks of a revision."""
    return f"{reports_prefix(number)}{node}"


def reports_prefix(number: int) -> str:
    """How the names of all reports about a revision begin."""
    return f"apply/{number}/"


@frozen
class Verdict:
    """How a question stands: nodes (by name) that have not answered, and those that say no."""

    waiting: tuple[str, ...]
    against: tuple[str, ...]

    @classmethod
    def of(cls, nodes: Sequence[NodeEntry], reports: Mapping[str, Report], expected: Collection[Stage]) -> "Verdict":
        """Of the nodes that are there.

        A report counts if an incarnation that is there has made it: one that was started again is another one.
        """
        lives: dict[str, set[Incarnation]] = {}
        for node in nodes:
            lives.setdefault(node.owner.node, set()).add(node.owner)
        counted = {
            name: report
            for name, report in reports.items()
            if report.owner in lives.get(name, ()) and report.stage in (*expected, *SAYS_NO)
        }
        return cls(
            tuple(sorted(lives.keys() - counted.keys())),
            tuple(sorted(name for name, report in counted.items() if report.stage in SAYS_NO)),
        )


ToDo = Literal["restore", "apply", "report"]


def to_do(state: FleetState, applied: Revision | None, reported: Revision | None) -> ToDo | None:
    """What a node has to do that has carried out `applied`, and has said of `reported` whether it could.

    What is decided comes first: whether a node could do the next is to be said of what runs then.
    """
    number = 0 if applied is None else applied.number
    if state.number < number:
        return "restore"
    if state.number > number:
        return "apply"
    if state.proposal is not None and state.proposal.revision != reported:
        return "report"
    return None
