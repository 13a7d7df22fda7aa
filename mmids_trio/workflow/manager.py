"""All workflows of a server by name: the one place that starts and stops them."""

from collections.abc import Sequence
from typing import Protocol

import structlog
import trio

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.workflow.change import Change, Stopping
from mmids_trio.workflow.plan import make_plan, view
from mmids_trio.workflow.runtime import StepFactories, Surroundings, Workflow
from mmids_trio.workflow.status import PlanView, Switched, WorkflowOwner, WorkflowStatus
from mmids_trio.workflow.switching import NoSuchStep

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

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left of any workflow, those included that are not listed any more."""
        return not self._workflows and not self._ending

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

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        """Have a step send its source `to`. Raises `switching.NoSuchStep` and `switching.CannotSwitch`."""
        workflow = self._workflows.get(name)
        if workflow is None:
            raise NoSuchStep(f"there is no workflow '{name}'")
        return workflow.switch(step_id, to)

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
