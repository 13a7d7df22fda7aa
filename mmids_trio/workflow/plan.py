"""What a change does to a workflow's steps: a pure function of the running and the wanted sequence."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.masking import mask_values
from mmids_trio.workflow.status import PlannedStep, PlanView, StepAction


@frozen
class WantedStep:
    """A step of the wanted sequence, with its identity."""

    step_id: str
    definition: StepDefinition


@frozen
class Plan:
    """What to keep, start and stop, and the new order: all of it worked out once, by `make_plan`.

    `order` is the wanted sequence of ids and `start` what of it does not run yet; `stop` has the ids of running steps
    that are not wanted any more, in running order.  `is_empty`: nothing is to be done, the same steps run in the same
    order.
    """

    wanted: tuple[WantedStep, ...]
    order: tuple[str, ...]
    start: tuple[WantedStep, ...]
    stop: tuple[str, ...]
    is_empty: bool


def make_plan(running: Sequence[str], wanted: WorkflowDefinition) -> Plan:
    """Compare the ids of the running steps, in order, with a wanted definition (canonical spellings)."""
    order = step_ids(wanted.steps)
    steps = tuple(WantedStep(step_id, step) for step_id, step in zip(order, wanted.steps, strict=True))
    old, new = frozenset(running), frozenset(order)
    return Plan(
        wanted=steps,
        order=order,
        start=tuple(step for step in steps if step.step_id not in old),
        stop=tuple(step_id for step_id in running if step_id not in new),
        is_empty=tuple(running) == order,
    )


def view(
    plan: Plan, name: str, *, created: bool, running: Mapping[str, StepDefinition], has_failed: bool = False
) -> PlanView:
    """The plan as the HTTP API shows it; `running` has the definition of each running step id.

    A workflow that `has_failed` is changed by any plan: at the least it runs again.
    """
    fresh = {step.step_id for step in plan.start}
    wanted = [
        _planned(step.step_id, step.definition, "start" if step.step_id in fresh else "keep") for step in plan.wanted
    ]
    stopped = [_planned(step_id, running[step_id], "stop") for step_id in plan.stop]
    return PlanView(
        workflow=name,
        created=created,
        changed=created or has_failed or not plan.is_empty,
        steps=(*wanted, *stopped),
    )


def _planned(step_id: str, definition: StepDefinition, action: StepAction) -> PlannedStep:
    return PlannedStep(step_id, definition.step_type, action, mask_values(definition.shown_parameters()))


@frozen
class Segment:
    """The stretch of a sequence that a change touches.

    The first `prefix` and the last `suffix` steps are the same, in the same order, before and after; no
    link among them is touched.
    """

    prefix: int
    suffix: int


def changed_segment(before: Sequence[str], after: Sequence[str]) -> Segment:
    """Find the longest common start, then the longest common end of what remains."""
    shorter = min(len(before), len(after))
    prefix = 0
    while prefix < shorter and before[prefix] == after[prefix]:
        prefix += 1
    suffix = 0
    while suffix < shorter - prefix and before[-1 - suffix] == after[-1 - suffix]:
        suffix += 1
    return Segment(prefix, suffix)
