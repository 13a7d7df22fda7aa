"""The workflows as the API gets them: what is changed through here is remembered.

Apart from the manager, which reactors and the configuration file use as well, and from the recorder, which decides
what is remembered.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import trio
from attrs import define, field, frozen

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.state.recorder import Recorder
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.sets import SetPlan, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView, Switched, WorkflowOwner, WorkflowStatus
from mmids_trio.workflow.transaction import SetChange


class AnyChange(Protocol):
    """A change, of one workflow or of many."""

    async def wait(self) -> Outcome:
        """Wait for the outcome. Cancelling the wait does nothing to the change."""


@frozen(eq=False)
class _Followed:
    """A change; whoever has seen its outcome finds it in the record already."""

    _change: AnyChange
    _names: Collection[str]
    _recorder: Recorder
    _manager: WorkflowManager

    async def wait(self) -> Outcome:
        """See `AnyChange.wait`."""
        outcome = await self._change.wait()
        if outcome.kind is not OutcomeKind.APPLIED and not self._manager.is_stopping:
            self._settle()
        return outcome

    def _settle(self) -> None:
        """Something else than what was asked for may run, also of a set of which something newer took one part."""
        for name in self._names:
            self._recorder.settle(name)


@frozen(eq=False)
class RecordedChange(_Followed):
    """A change of one workflow."""

    plan: PlanView


@frozen(eq=False)
class RecordedSetChange(_Followed):
    """A change of many. `reactors_asked` is what the recorder knows its reactors by, `None` where it brings none."""

    _set_change: SetChange
    _reactors_asked: int | None = None

    @property
    def plan(self) -> SetPlan:
        """See `SetChange.plan`."""
        return self._set_change.plan

    @property
    def outcome(self) -> Outcome | None:
        """See `SetChange.outcome`."""
        return self._set_change.outcome

    def _settle(self) -> None:
        _Followed._settle(self)
        if self._reactors_asked is not None:
            self._recorder.settle_reactors(self._reactors_asked)


@define(eq=False)
class RecordedWorkflows:
    """A manager's workflows; see there for what everything does. Changes are taken while `run` runs."""

    _manager: WorkflowManager
    _recorder: Recorder
    _nursery: trio.Nursery = field(init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow every change to its end, also those that nobody waits for; until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def apply(self, definition: WorkflowDefinition, *, rollback: bool = False) -> RecordedChange:
        """See `WorkflowManager.apply`."""
        change: Change = self._manager.apply(definition, rollback=rollback)
        self._recorder.accept(definition.name, definition)
        recorded = RecordedChange(change, (definition.name,), self._recorder, self._manager, change.plan)
        self._nursery.start_soon(recorded.wait)
        return recorded

    def apply_all(self, wanted: WorkflowSet) -> RecordedSetChange:
        """See `WorkflowManager.apply_all`. Reactors are remembered as a whole."""
        change: SetChange = self._manager.apply_all(wanted)
        for name in wanted.delete:
            self._recorder.accept(name, None)
        for definition in wanted.definitions:
            self._recorder.accept(definition.name, definition)
        asked = None if wanted.reactors is None else self._recorder.accept_reactors(wanted.reactors)
        names = [*wanted.delete, *(definition.name for definition in wanted.definitions)]
        recorded = RecordedSetChange(change, names, self._recorder, self._manager, change, asked)
        self._nursery.start_soon(recorded.wait)
        return recorded

    async def stop(self, name: str) -> None:
        """See `WorkflowManager.stop`."""
        self._recorder.accept(name, None)
        await self._manager.stop(name)

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        """See `WorkflowManager.switch`. Nothing to remember: after a restart steps choose anew."""
        return self._manager.switch(name, step_id, to)

    # What only looks.

    def names(self) -> Sequence[str]:
        """See `WorkflowManager.names`."""
        return self._manager.names()

    def status(self, name: str) -> WorkflowStatus | None:
        """See `WorkflowManager.status`."""
        return self._manager.status(name)

    def definition(self, name: str) -> WorkflowDefinition | None:
        """See `WorkflowManager.definition`."""
        return self._manager.definition(name)

    def owner(self, name: str) -> WorkflowOwner | None:
        """See `WorkflowManager.owner`."""
        return self._manager.owner(name)

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """See `WorkflowManager.validate`."""
        return self._manager.validate(definition)

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """See `WorkflowManager.plan`."""
        return self._manager.plan(definition)

    def prunable(self, kept: Collection[str]) -> tuple[str, ...]:
        """See `WorkflowManager.prunable`."""
        return self._manager.prunable(kept)

    def validate_all(self, wanted: WorkflowSet) -> WorkflowSet:
        """See `WorkflowManager.validate_all`."""
        return self._manager.validate_all(wanted)

    def plan_all(self, wanted: WorkflowSet) -> SetPlan:
        """See `WorkflowManager.plan_all`."""
        return self._manager.plan_all(wanted)
