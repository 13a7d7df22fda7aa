"""A workflow manager whose steps come from a bench, with what tests of changes say again and again."""

from attrs import define

from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView
from tests.support.toy_steps import Bench, definition


@define
class Stage:
    """Workflows of toy steps. Unless named otherwise, everything is about workflow `w`."""

    bench: Bench
    manager: WorkflowManager

    def submit(
        self, *steps: str, name: str = "w", rollback: bool = False, in_place: bool | None = None
    ) -> Change[PlanView]:
        """Hand over a change."""
        return self.manager.apply(definition(name, *steps), rollback=rollback, in_place=in_place)

    async def apply(
        self, *steps: str, name: str = "w", rollback: bool = False, in_place: bool | None = None
    ) -> Outcome:
        """Hand over a change and wait for its outcome."""
        return await self.submit(*steps, name=name, rollback=rollback, in_place=in_place).wait_outcome()

    async def run(self, *steps: str, name: str = "w") -> None:
        """Apply a definition that has to work."""
        outcome = await self.apply(*steps, name=name)
        assert outcome.kind is OutcomeKind.APPLIED, outcome

    @property
    def status(self) -> str:
        """Of the workflow, with the label of a failed step instead of its id; `gone` where there is none."""
        known = self.manager.status("w")
        if known is None:
            return "gone"
        status = known.status
        for step in self.bench.built:
            status = status.replace(step.context.step_id, step.label)
        return status

    @property
    def active(self) -> list[str]:
        """The steps that carry media (or have failed), each as `label status`."""
        known = self.manager.status("w")
        return [] if known is None else [f"{step.parameters['label']} {step.status}" for step in known.active_steps]

    @property
    def pending(self) -> list[str]:
        """The whole wanted sequence while an update waits, each step as `label status`."""
        known = self.manager.status("w")
        return [] if known is None else [f"{step.parameters['label']} {step.status}" for step in known.pending_steps]
