"""Sets of toy workflows, with what tests of transactions say again and again."""

from collections.abc import Mapping, Sequence

from trio.testing import wait_all_tasks_blocked

from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, WorkflowStatus
from tests.support.managed import Stage
from tests.support.toy_steps import definition

Sets = Mapping[str, Sequence[str]]
"""The steps of each workflow, by name."""


def wanted(workflows: Sets, *delete: str) -> WorkflowSet:
    """A set of toy workflows."""
    return WorkflowSet(tuple(definition(name, *steps) for name, steps in workflows.items()), delete)


def submit(stage: Stage, workflows: Sets, *delete: str) -> Change[SetPlan]:
    """Hand over a set."""
    return stage.manager.apply_all(wanted(workflows, *delete))


async def apply(stage: Stage, workflows: Sets, *delete: str) -> Outcome:
    """Hand over a set; returns when it is known what came of it, and all is quiet."""
    outcome = await submit(stage, workflows, *delete).wait_outcome()
    await wait_all_tasks_blocked()
    return outcome


async def run(stage: Stage, workflows: Sets, *delete: str) -> None:
    """As `apply`, of what has to work."""
    outcome = await apply(stage, workflows, *delete)
    assert outcome.kind is OutcomeKind.APPLIED, outcome


def statuses(manager: WorkflowManager) -> dict[str, WorkflowStatus | None]:
    """Everything that is known of all workflows."""
    return {name: manager.status(name) for name in manager.names()}


def shown(manager: WorkflowManager) -> dict[str, list[str]]:
    """The labels of the steps of all workflows that run."""
    known = {name: status for name, status in statuses(manager).items() if status is not None}
    return {
        name: [step.parameters["label"] or "" for step in status.active_steps]
        for name, status in known.items()
        if status.status == "Running"
    }
