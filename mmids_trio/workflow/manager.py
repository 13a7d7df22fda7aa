"""All workflows of a server by name: the one place that starts and stops them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

import structlog
import trio
from attrs import evolve

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.workflow.change import Change, Stopping
from mmids_trio.workflow.plan import make_plan, view
from mmids_trio.workflow.runtime import StepFactories, Surroundings, Workflow
from mmids_trio.workflow.sets import (
    SetConflict,
    SetPlan,
    StepCut,
    WorkflowSet,
    cuts,
    name_conflicts,
    prunable,
)
from mmids_trio.workflow.status import OutcomeKind, PlanView, WorkflowOwner, WorkflowStatus
from mmids_trio.workflow.transaction import SetChange

log = structlog.get_logger()

BY_API = WorkflowOwner("api")


class Steps(StepFactories, Protocol):
    """What the manager needs to know about the kinds of steps there are."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings; raises `ConfigurationError` with every problem."""


class WorkflowManager:
    """Starts, changes and stops workflows; each runs in a nursery of its own inside the manager's."""

    def __init__(self, steps: Steps, surroundings: Surroundings | None = None) -> None:
        self._steps = steps
        self._surroundings = surroundings or Surroundings()
        self._nursery: trio.Nursery
        self._workflows: dict[str, Workflow] = {}
        self._is_stopping = False
        self._ending: dict[str, list[Workflow]] = {}
        """Workflows that are not listed any more but have not quite ended; their successors wait for them."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the workflows until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def names(self) -> Sequence[str]:
        """Names of all workflows, in the order in which they were started."""
        return list(self._workflows)

    def status(self, name: str) -> WorkflowStatus | None:
        """What is known of one workflow; `None` where there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.status()

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """See `Steps.validate`."""
        return self._steps.validate(definition)

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """What `apply` would do; pure."""
        workflow = self._workflows.get(definition.name)
        if workflow is not None:
            return workflow.plan(definition)
        return view(make_plan((), definition), definition.name, created=True, types={})

    def owner(self, name: str) -> WorkflowOwner | None:
        """Who asked for the workflow of that name first; it stays theirs whoever changes it. `None`: there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.owner

    def apply(self, definition: WorkflowDefinition, *, rollback: bool = False, owner: WorkflowOwner = BY_API) -> Change:
        """Start or update the workflow of that name with a validated definition.

        Returns at once; the change belongs to the workflow's task and goes on whoever waits for it.  `owner` counts
        where the workflow is new.  Raises `Stopping` after `stop_all`.
        """
        if self._is_stopping:
            raise Stopping("the server is being stopped")
        workflow = self._workflows.get(definition.name) or self._create(definition.name, owner)
        return workflow.submit(definition, rollback=rollback)

    # Many at once.

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What was accepted last for the workflow of that name, carried out or not; `None` where there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.wanted

    def prunable(self, kept: Collection[str]) -> tuple[str, ...]:
        """The workflows that a whole configuration without them would delete: not `kept`, and of no reactor."""
        return prunable(kept, self._owners())

    def validate_all(self, wanted: WorkflowSet) -> WorkflowSet:
        """The set in canonical spellings, checked against the reactors that it brings.

        Raises `ConfigurationError` with every problem.
        """
        return evolve(wanted, definitions=tuple(self.validate(definition) for definition in wanted.definitions))

    def plan_all(self, wanted: WorkflowSet) -> SetPlan:
        """What `apply_all` would do; pure. Raises `SetConflict`, or `ConfigurationError` for a reactor."""
        self._refuse_conflicts(wanted)
        plans = tuple(self.plan(definition) for definition in wanted.definitions)
        deleted = tuple(dict.fromkeys(name for name in wanted.delete if name in self._workflows))
        return SetPlan(plans, deleted, tuple(self._cuts(plans, deleted)))

    def apply_all(self, wanted: WorkflowSet, *, owner: WorkflowOwner = BY_API) -> SetChange:
        """Put a validated set in place: all of it, or nothing.

        Returns at once, and the change goes on whoever waits for it.  `owner` counts for workflows that are new.
        Raises `SetConflict` (or `ConfigurationError` for a reactor) before anything is touched, and `Stopping`.
        """
        if self._is_stopping:
            raise Stopping("the server is being stopped")
        change = SetChange(self.plan_all(wanted))
        self._nursery.start_soon(self._carry_out, wanted, owner, change)
        return change

    async def _carry_out(self, wanted: WorkflowSet, owner: WorkflowOwner, change: SetChange) -> None:
        for name in change.plan.deleted:
            await self.stop(name)
        for definition in wanted.definitions:
            outcome = await self.apply(definition, rollback=True, owner=owner).wait()
            if outcome.kind is not OutcomeKind.APPLIED:
                change.finish(outcome.kind, outcome.message)
        change.finish(OutcomeKind.APPLIED, "running" if change.plan.changed else "nothing to change")

    def _owners(self) -> dict[str, WorkflowOwner]:
        return {name: workflow.owner for name, workflow in self._workflows.items()}

    def _refuse_conflicts(self, wanted: WorkflowSet) -> None:
        if problems := list(name_conflicts(wanted, self._owners())):
            raise SetConflict(problems)

    def _cuts(self, plans: Iterable[PlanView], deleted: Iterable[str]) -> Iterator[StepCut]:
        for name, plan in [*((plan.workflow, plan) for plan in plans), *((name, None) for name in deleted)]:
            if (status := self.status(name)) is not None:
                yield from cuts(status, plan, name)

    def _create(self, name: str, owner: WorkflowOwner) -> Workflow:
        workflow = self._workflows[name] = Workflow(
            name, self._steps, self._retire, owner=owner, surroundings=self._surroundings
        )
        self._nursery.start_soon(self._run, workflow, [ending.ended for ending in self._ending.get(name, ())])
        return workflow

    async def _run(self, workflow: Workflow, after: Sequence[trio.Event]) -> None:
        """The wall around a workflow: a fault of ours in one must not end the others."""
        try:
            await workflow.run(after)
        except* Exception:
            log.exception("workflow crashed", workflow=workflow.name)
        finally:
            self._forget(workflow)

    async def stop(self, name: str) -> None:
        """Stop a workflow and wait until nothing of it is left; no error where none runs.

        Cancelling the wait does not stop the stopping.
        """
        workflow = self._workflows.get(name)
        if workflow is not None:
            self._retire(workflow)
            workflow.cancel()
        for ending in list(self._ending.get(name, ())):
            await ending.ended.wait()

    async def stop_all(self) -> None:
        """Stop every workflow, side by side, and start none any more."""
        self._is_stopping = True
        async with trio.open_nursery() as nursery:
            for name in {*self._workflows, *self._ending}:
                nursery.start_soon(self.stop, name)

    def _retire(self, workflow: Workflow) -> None:
        """Unlist a workflow that is about to end."""
        if self._workflows.get(workflow.name) is workflow:
            del self._workflows[workflow.name]
            self._ending.setdefault(workflow.name, []).append(workflow)

    def _forget(self, workflow: Workflow) -> None:
        if self._workflows.get(workflow.name) is workflow:
            del self._workflows[workflow.name]
        ending = self._ending.get(workflow.name, [])
        if workflow in ending:
            ending.remove(workflow)
        if not ending:
            self._ending.pop(workflow.name, None)
