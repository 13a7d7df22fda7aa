"""One workflow at work: a nursery whose children are the steps, and the transaction that changes them.

Callers hand a change over (`submit`, synchronous) and wait for its outcome elsewhere; the workflow's own task carries
it out: start the new steps, let what the change touches come to rest, swap (one synchronous function), stop what is
not wanted any more.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog
import trio
from attrs import field, frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.base import StepFactory
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.chain import Chain
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.hub import (
    EventHub,
    StreamBegan,
    StreamOver,
    WorkflowEnded,
    WorkflowFailed,
    WorkflowStarted,
)
from mmids_trio.workflow.junctions import Junctions
from mmids_trio.workflow.plan import Plan, WantedStep, make_plan, view
from mmids_trio.workflow.status import OutcomeKind, PlanView, StepStatus, Switched, WorkflowOwner, WorkflowStatus
from mmids_trio.workflow.switching import switch

log = structlog.get_logger()


class StepFactories(Protocol):
    """Where a workflow gets its steps from."""

    def factory(self, definition: StepDefinition) -> StepFactory:
        """What builds the step, from a definition that was validated before."""


@frozen
class Surroundings:
    """What workflows of one server share."""

    junctions: Junctions = field(factory=Junctions)
    hub: EventHub = field(factory=EventHub)


class Workflow:
    """One workflow, from its first definition until it is cancelled or its failed creation is taken back.

    `on_abandoned` is called, synchronously, in that last case; nothing may be submitted after it.
    """

    def __init__(
        self,
        name: str,
        steps: StepFactories,
        on_abandoned: Callable[["Workflow"], None],
        *,
        owner: WorkflowOwner,
        surroundings: Surroundings,
    ) -> None:
        self.name = name
        self.owner = owner
        self._junctions = surroundings.junctions
        self._publish = surroundings.hub.publish
        self.ended = trio.Event()
        self._steps = steps
        self._on_abandoned = on_abandoned
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._stir = trio.lowlevel.ParkingLot()
        self._chain = Chain()
        self._definition: WorkflowDefinition | None = None
        """What carries media (or has failed) now; `None` before the first swap."""
        self._failed: Cell | None = None
        self._is_breaking = False
        """Whether a step that carries media has failed and the others are not shut down yet."""
        self._next: Change | None = None
        self._current: Change | None = None
        self._wanted: list[Cell] = []
        """All steps of the change that is being carried out, until its swap."""
        self._leaving: frozenset[str] = frozenset()
        self._attempt: trio.CancelScope | None = None
        self._settling: trio.CancelScope | None = None

    # What others ask of it: synchronous, from any task.

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """What `definition` would change, compared with what carries media now."""
        types = {cell.step_id: cell.definition.step_type for cell in self._chain.cells}
        return view(
            self._plan(definition),
            self.name,
            created=self._definition is None,
            types=types,
            has_failed=self._failed is not None,
        )

    def _plan(self, definition: WorkflowDefinition) -> Plan:
        return make_plan(() if self._failed else self._chain.ids, definition)

    def submit(self, definition: WorkflowDefinition, *, rollback: bool = False) -> Change:
        """Accept a change. One that still waits, for its turn or for its new steps, is superseded by it."""
        change = Change(definition, self.plan(definition), rollback)
        if self._next is not None:
            self._supersede(self._next)
        self._next = change
        if self._attempt is not None:
            self._attempt.cancel()
        self._stir.unpark_all()
        return change

    def switch(self, step_id: str, to: str) -> Switched:
        """See `switching.switch`."""
        return switch(self.name, self._chain.cells, step_id, to)

    def cancel(self) -> None:
        """Begin the end; `ended` is set when nothing of the workflow is left."""
        self._finish_stopped()
        self._scope.cancel()

    def status(self) -> WorkflowStatus:
        """What the outside may know."""
        failed = self._failed
        return WorkflowStatus(
            status="Running" if failed is None else f"Step id {failed.step_id} failed: {failed.error}",
            active_steps=tuple(cell.describe() for cell in self._chain.cells),
            pending_steps=self._pending_steps(),
            owner=self.owner,
        )

    def _pending_steps(self) -> tuple[StepStatus, ...]:
        change = self._next or (self._current if self._wanted else None)
        if change is None:
            return ()
        known = {cell.step_id: cell for cell in (*self._chain.running, *self._wanted)}
        return tuple(
            known[step.step_id].describe() if step.step_id in known else _describe_unborn(step)
            for step in self._plan(change.definition).wanted
        )

    # Its own task.

    async def run(self, after: Sequence[trio.Event] = ()) -> None:
        """Run until cancelled or abandoned; begins when all of `after` (ends of predecessors) are set."""
        structlog.contextvars.clear_contextvars()  # of the request that happened to create it
        structlog.contextvars.bind_contextvars(workflow=self.name)
        try:
            with self._scope:
                for event in after:
                    await event.wait()
                async with trio.open_nursery() as self._nursery:
                    await self._carry_out_changes()
        finally:
            self._close_inlet()
            self._finish_stopped()
            self.ended.set()
            self._publish(WorkflowEnded(self.name))
            log.info("workflow ended")

    def _finish_stopped(self) -> None:
        for change in (self._current, self._next):
            if change is not None:
                change.finish(OutcomeKind.STOPPED, f"workflow '{self.name}' was stopped before its update had finished")

    async def _carry_out_changes(self) -> None:
        while True:
            if self._is_breaking:
                await self._break_down()
            elif self._next is not None:
                self._current, self._next = self._next, None
                if not await self._carry_out(self._current):
                    return
                self._current = None
            else:
                await self._stir.park()

    async def _carry_out(self, change: Change) -> bool:
        """One change, from its turn to its outcome. False when the workflow is to end with it."""
        plan = self._plan(change.definition)
        if plan.is_empty and self._failed is None and self._definition is not None:
            self._definition = change.definition
            change.finish(OutcomeKind.APPLIED, "nothing to change")
            return True
        fresh = self._prepare(plan)
        try:
            await self._start(fresh)
            if self._may_swap(fresh):
                await self._settle()
            if self._may_swap(fresh):
                await self._swap(change)
                return True
            return await self._give_up(change, fresh)
        finally:
            self._wanted, self._leaving = [], frozenset()

    def _prepare(self, plan: Plan) -> list[Cell]:
        """Make the cells of the new steps; nothing of them runs yet."""
        fresh = {step.step_id: self._cell(step) for step in plan.start}
        running = {} if self._failed else {cell.step_id: cell for cell in self._chain.cells}
        self._wanted = [fresh.get(step_id) or running[step_id] for step_id in plan.order]
        self._leaving = frozenset(plan.stop)
        return list(fresh.values())

    def _cell(self, step: WantedStep) -> Cell:
        cell = Cell(self.name, step.step_id, step.definition, self._is_leaving, self._on_step_failure, self._publish)
        cell.outlet.ledger.on_stream = partial(self._on_stream, cell)
        return cell

    def _on_stream(self, cell: Cell, started: StreamStarted, is_live: bool) -> None:
        """A stream has begun or ended behind a step; only those that produce bring it in."""
        if cell.flow is Flow.PRODUCES and started.stream_id not in self._chain.inlet.streams:
            kind = StreamBegan if is_live else StreamOver
            self._publish(kind(self.name, cell.step_id, started.stream_id, started.stream_name))

    def _is_leaving(self, workflow: str, step_id: str) -> bool:
        return workflow == self.name and step_id in self._leaving

    def _on_step_failure(self, cell: Cell) -> None:
        if self._failed is None and cell in self._chain.cells:
            self._failed, self._is_breaking = cell, True
        for scope in (self._attempt, self._settling):
            if scope is not None:
                scope.cancel()
        self._stir.unpark_all()

    async def _start(self, fresh: Sequence[Cell]) -> None:
        """Start the new steps; ends early when one fails or the change is superseded.

        One after another: which of two that want the same thing gets it is decided by their order, not by chance.
        """
        with trio.CancelScope() as self._attempt:
            if self._next is not None:
                self._attempt.cancel()
            for cell in fresh:
                await cell.start(self._nursery, self._steps.factory)
                if cell.error is not None:
                    break
        self._attempt = None

    async def _settle(self) -> None:
        """Bring what the change touches to rest; ends early when a step fails."""
        with trio.CancelScope() as self._settling:
            await self._chain.settle(self._wanted)
        self._settling = None

    def _may_swap(self, fresh: Sequence[Cell]) -> bool:
        return not self._is_breaking and all(cell.status == "Active" for cell in fresh)

    async def _swap(self, change: Change) -> None:
        """The swap itself runs without a checkpoint; then what was taken out is awaited."""
        removed = self._chain.swap(self._wanted)
        self._junctions.open(self.name, self._chain.inlet)
        if self._definition is None or self._failed is not None:
            self._publish(WorkflowStarted(self.name))
        self._definition, self._failed = change.definition, None
        self._wanted, self._leaving = [], frozenset()
        log.info("workflow changed", steps=len(self._chain.cells), stopped=len(removed))
        await _stop(removed)
        if self._is_breaking:
            self._finish_broken(change)
        else:
            change.finish(OutcomeKind.APPLIED, "running")

    def _finish_broken(self, change: Change) -> None:
        """A step that carries media has failed in the middle of the change: there is nothing to go back to."""
        assert self._failed is not None
        change.finish(OutcomeKind.FAILED, ("not rolled back: " if change.rollback else "") + _reason(self._failed))

    async def _give_up(self, change: Change, fresh: Sequence[Cell]) -> bool:
        """The change cannot be carried out: leave no trace of it, or put the workflow in error."""
        failed = next((cell for cell in fresh if cell.error is not None), None)
        self._chain.release()
        if failed is not None and not change.rollback:
            await self._fail(change, failed)
            return True
        await _stop(fresh)
        if self._is_breaking and change.rollback:
            self._finish_broken(change)
        elif failed is not None:
            change.finish(OutcomeKind.ROLLED_BACK, f"rolled back: {_reason(failed)}")
        elif self._next is not None:
            self._supersede(change)
        else:
            # A step that carries media has failed, perhaps the one to be removed: once the workflow is broken down,
            # the same change starts everything anew.
            self._next = change
        return not self._abandon_creation()

    async def _fail(self, change: Change, failed: Cell) -> None:
        """Put the workflow in error under its new definition, with all steps shut down."""
        everyone = {*self._chain.cells, *self._wanted}
        self._chain.cells, self._wanted = self._wanted, []
        self._definition, self._failed = change.definition, failed
        self._is_breaking = False  # should a step that carried media have failed as well, it is shut down with the rest
        self._close_inlet()
        self._publish(WorkflowFailed(self.name, _reason(failed)))
        await _stop(everyone)
        change.finish(OutcomeKind.FAILED, _reason(failed))

    async def _break_down(self) -> None:
        """A step failed while it carried media: shut down the others."""
        log.error("workflow failed", reason=self._failed and self._failed.error)
        self._close_inlet()
        if self._failed is not None:
            self._publish(WorkflowFailed(self.name, _reason(self._failed)))
        await _stop(self._chain.cells)
        self._is_breaking = False

    def _close_inlet(self) -> None:
        self._junctions.close(self.name, self._chain.inlet)

    def _abandon_creation(self) -> bool:
        """Whether a creation that failed leaves nothing, and nobody asks for more."""
        if self._definition is not None or self._next is not None:
            return False
        self._on_abandoned(self)
        return True

    def _supersede(self, change: Change) -> None:
        change.finish(OutcomeKind.SUPERSEDED, f"superseded by a newer update of workflow '{self.name}'")


def _describe_unborn(step: WantedStep) -> StepStatus:
    definition = step.definition
    return StepStatus(step.step_id, definition.step_type, dict(definition.parameters), "Created")


def _reason(cell: Cell) -> str:
    return f"Step id {cell.step_id} failed: {cell.error}"


async def _stop(cells: Sequence[Cell] | set[Cell]) -> None:
    """Cancel steps side by side and wait until nothing of them is left."""
    for cell in cells:
        cell.cancel()
    for cell in cells:
        await cell.ended.wait()
