"""A whole set of workflows, and reactors, to be put in place at once: what is wanted, what that would do, and why not.

Pure, and apart from the transaction that carries it out, so that a plan and its refusal need nothing that runs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from attrs import field, frozen

from mmids_trio.definitions import ParameterValue, ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.masking import mask_values
from mmids_trio.workflow.status import PlanView, WorkflowOwner, WorkflowStatus

REACTOR_PARAMETER = "reactor"
"""The parameter by which any kind of step names the reactor that it asks."""


@frozen
class WorkflowSet:
    """What is to be put in place at once, the `definitions` in the order in which their new steps start.

    `delete` names workflows that are stopped with it (names of none are no error). `reactors` are all that there shall
    be, `None` to leave them as they are. Workflows that are not named stay as they are.
    """

    definitions: tuple[WorkflowDefinition, ...] = ()
    delete: tuple[str, ...] = ()
    reactors: tuple[ReactorDefinition, ...] | None = None


class SetConflict(MmidsError):
    """A set that cannot be put in place; nothing was touched. `problems` has every reason, a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@frozen
class StepCut:
    """A step that would be stopped, with the clients that it would disconnect as of now.

    `parameters`: without what is secret in them, or in URLs.
    """

    workflow: str
    step_id: str
    step_type: str
    publishers: int
    watchers: int
    parameters: Mapping[str, ParameterValue] = field(factory=dict)


@frozen
class PlannedReactor:
    """What a set does to one reactor."""

    name: str
    action: Literal["keep", "change", "start", "stop"]


@frozen
class SetPlan:
    """What a set does: a plan per workflow in the order of the set, and the names that it stops (and that exist).

    `cuts` has every step that stops, also those of deleted workflows. `reactors` is empty where the set leaves them
    alone.
    """

    workflows: tuple[PlanView, ...] = ()
    deleted: tuple[str, ...] = ()
    cuts: tuple[StepCut, ...] = ()
    reactors: tuple[PlannedReactor, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return (
            bool(self.deleted)
            or any(plan.changed for plan in self.workflows)
            or any(reactor.action != "keep" for reactor in self.reactors)
        )

    @property
    def publishers(self) -> int:
        """Publishers that would be disconnected."""
        return sum(cut.publishers for cut in self.cuts)

    @property
    def watchers(self) -> int:
        """Watchers that would be disconnected."""
        return sum(cut.watchers for cut in self.cuts)


def prunable(kept: Collection[str], owners: Mapping[str, WorkflowOwner]) -> tuple[str, ...]:
    """The workflows that are not among the `kept` names, of all that there are; but for those of reactors."""
    return tuple(name for name, owner in owners.items() if name not in kept and owner.kind != "reactor")


def name_conflicts(wanted: WorkflowSet, owners: Mapping[str, WorkflowOwner]) -> Iterator[str]:
    """What is wrong with the names of a set, given whose the workflows are that there are."""
    defined = Counter(definition.name for definition in wanted.definitions)
    yield from (f"workflow '{name}' is defined {count} times" for name, count in defined.items() if count > 1)
    deleted = tuple(dict.fromkeys(wanted.delete))
    yield from (f"workflow '{name}' is defined and deleted at once" for name in deleted if name in defined)
    for name in dict.fromkeys((*defined, *deleted)):
        owner = owners.get(name)
        if owner is not None and owner.kind == "reactor":
            yield f"workflow '{name}' belongs to the {owner}, which alone changes it"
    reactors = Counter(reactor.name for reactor in wanted.reactors or ())
    yield from (f"reactor '{name}' is defined {count} times" for name, count in reactors.items() if count > 1)


def reactor_conflicts(removed: Collection[str], remaining: Iterable[WorkflowDefinition]) -> Iterator[str]:
    """Which of the workflows that remain ask reactors that would be removed."""
    for definition in remaining if removed else ():
        asked = dict.fromkeys(step.parameters.get(REACTOR_PARAMETER) for step in definition.steps)
        yield from (
            f"reactor '{name}' cannot be removed: workflow '{definition.name}' asks it"
            for name in asked
            if name in removed
        )


def cuts(status: WorkflowStatus, plan: PlanView | None, name: str) -> Iterator[StepCut]:
    """The steps that a plan stops (`None`: the end of the workflow stops all of them), with their clients."""
    stopped = None if plan is None else {step.step_id for step in plan.steps if step.action == "stop"}
    for step in status.active_steps:
        if stopped is None or step.step_id in stopped:
            clients = step.clients
            yield StepCut(
                name, step.step_id, step.step_type, clients.publishers, clients.watchers, mask_values(step.parameters)
            )
