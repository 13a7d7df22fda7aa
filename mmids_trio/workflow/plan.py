"""What a change does to a workflow's steps: a pure function of the running and the wanted sequence."""

from collections.abc import Sequence

from attrs import frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition, step_ids
from mmids_trio.workflow.status import PlannedStep, PlanView, StepAction


@frozen
class WantedStep:
    """A step of the wanted sequence, with its identity."""

    step_id: str
    definition: StepDefinition


@frozen
class Plan:
    """What to keep, start and stop, and the new order. Ids in `wanted` order, `stop` in running order."""

    running: tuple[str, ...]
    wanted: tuple[WantedStep, ...]

    @property
    def order(self) -> tuple[str, ...]:
        """The wanted sequence of step ids."""
        return tuple(step.step_id for step in self.wanted)

    @property
    def start(self) -> tuple[WantedStep, ...]:
        """Steps that do not run yet."""
        running = set(self.running)
        return tuple(step for step in self.wanted if step.step_id not in running)

    @property
    def stop(self) -> tuple[str, ...]:
        """Running steps that are not wanted any more."""
        wanted = set(self.order)
        return tuple(step_id for step_id in self.running if step_id not in wanted)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do: the same steps in the same order."""
        return self.running == self.order

    def action(self, step_id: str) -> StepAction:
        """What becomes of one step."""
        if step_id not in self.order:
            return "stop"
        return "keep" if step_id in self.running else "start"


def make_plan(running: Sequence[str], wanted: WorkflowDefinition) -> Plan:
    """Compare the ids of the running steps, in order, with a wanted definition (canonical spellings)."""
    ids = step_ids(wanted.steps)
    steps = tuple(WantedStep(step_id, step) for step_id, step in zip(ids, wanted.steps, strict=True))
    return Plan(running=tuple(running), wanted=steps)


def view(plan: Plan, name: str, *, created: bool, types: dict[str, str]) -> PlanView:
    """The plan as the HTTP API shows it; `types` gives the step type of each running step id."""
    wanted = [PlannedStep(step.step_id, step.definition.step_type, plan.action(step.step_id)) for step in plan.wanted]
    stopped = [PlannedStep(step_id, types[step_id], "stop") for step_id in plan.stop]
    return PlanView(
        workflow=name,
        created=created,
        changed=created or not plan.is_empty,
        steps=(*wanted, *stopped),
    )


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
