"""One workflow at work: it accepts changes, and its own task carries them out, one after another.

Callers hand a change over (`submit`, `join`: synchronous) and wait for its outcome elsewhere; the workflow's task takes
it through the phases of its `Line`: start the new steps, let what the change touches come to rest, swap (one
synchronous function), stop what is not wanted any more.
"""

from collections.abc import Callable, Sequence

import structlog
import trio

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.workflow.carrying_out import carry_out_part
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.events import WorkflowEnded
from mmids_trio.workflow.line import Line, StepFactories, Surroundings, reason, stop
from mmids_trio.workflow.plan import WantedStep, view
from mmids_trio.workflow.status import OutcomeKind, PlanView, StepStatus, Switched, WorkflowOwner, WorkflowStatus
from mmids_trio.workflow.switching import switch
from mmids_trio.workflow.transaction import Part

log = structlog.get_logger()


class Workflow:
    """One workflow, from its first definition until it is cancelled, retired or its failed creation is taken back.

    `on_retired` is called, synchronously, in the last two cases; nothing may be submitted after it.
    """

    def __init__(
        self,
        name: str,
        steps: StepFactories,
        on_retired: Callable[["Workflow"], None],
        *,
        owner: WorkflowOwner,
        surroundings: Surroundings,
    ) -> None:
        self.name = name
        self.owner = owner
        self.line = Line(name, steps, surroundings, self._on_trouble)
        self.ended = trio.Event()
        self._publish = surroundings.hub.publish
        self._totals = surroundings.totals
        self._on_retired = on_retired
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._stir = trio.lowlevel.ParkingLot()
        self._next: Change | Part | None = None
        self._current: Change | Part | None = None
        self._idle: Part | None = None
        """The part in a transaction that leaves the workflow as it is."""
        self._hindrances: list[trio.Event] = []
        """Ends of transactions that something newer has superseded here: first they give up all that they hold."""

    # What others ask of it: synchronous, from any task.

    def plan(self, definition: WorkflowDefinition) -> PlanView:
        """What `definition` would change, compared with what carries media now."""
        line = self.line
        types = {cell.step_id: cell.definition.step_type for cell in line.chain.cells}
        return view(
            line.plan(definition),
            self.name,
            created=line.definition is None,
            types=types,
            has_failed=line.failed is not None,
        )

    def submit(self, definition: WorkflowDefinition, *, rollback: bool = False) -> Change:
        """Accept a change. One that still waits, for its turn or for its new steps, is superseded by it."""
        change = Change(definition, self.plan(definition), rollback)
        self._overtake(change)
        self._stir.unpark_all()
        return change

    def switch(self, step_id: str, to: str) -> Switched:
        """See `switching.switch`."""
        return switch(self.name, self.line.chain.cells, step_id, to)

    def join(self, part: Part) -> None:
        """Accept a part in a transaction; as `submit`. One that `is_idle` must find the workflow at rest."""
        part.transaction.after += self._overtake(None if part.is_idle else part)
        if part.is_idle:
            self._idle = part
        self._stir.unpark_all()

    def is_at_rest(self, definition: WorkflowDefinition) -> bool:
        """Whether nothing is going on, and the workflow is as `definition` says."""
        return self._current is None and self._next is None and self.line.is_as(definition)

    def _overtake(self, newer: Change | Part | None) -> list[trio.Event]:
        """Put `newer` in place of what waits; returns the ends of the transactions that this supersedes."""
        overtaken, self._next = self._next, newer
        parts = [part for part in (overtaken, self._current, self._idle) if isinstance(part, Part)]
        superseded = self._supersede_transactions(parts, f"a newer update of workflow '{self.name}'")
        if isinstance(overtaken, Change):
            self._supersede(overtaken)
        if isinstance(self._current, Change) and self.line.is_starting:
            self._current.is_superseded = True
            self.line.cut_start()
        return superseded

    def _supersede_transactions(self, parts: Sequence[Part], by: str) -> list[trio.Event]:
        superseded = dict.fromkeys(part.transaction for part in parts if part.transaction.is_open)
        for transaction in superseded:
            transaction.give_up(OutcomeKind.SUPERSEDED, f"superseded by {by}")
        ends = [transaction.ended for transaction in superseded]
        self._hindrances += ends
        return ends

    def withdraw(self, part: Part) -> None:
        """See `transaction.Member`."""
        if self._idle is part:
            self._idle = None
        if self._next is part:
            self._next = None
            if self._current is None and self._abandon_creation():
                self._scope.cancel()

    def retire(self) -> None:
        """See `transaction.Member`."""
        self.line.close()
        self._on_retired(self)

    def cancel(self) -> None:
        """Begin the end; `ended` is set when nothing of the workflow is left."""
        parts = [part for part in (self._current, self._next, self._idle) if isinstance(part, Part)]
        self._supersede_transactions(parts, f"the end of workflow '{self.name}'")
        self._finish_stopped()
        self._scope.cancel()

    @property
    def wanted(self) -> WorkflowDefinition | None:
        """The definition that was accepted last, carried out or not."""
        change = self._next or self._current
        return self.line.definition if change is None else change.definition

    def status(self) -> WorkflowStatus:
        """What the outside may know."""
        failed = self.line.failed
        return WorkflowStatus(
            status="Running" if failed is None else f"Step id {failed.step_id} failed: {failed.error}",
            active_steps=tuple(cell.describe() for cell in self.line.chain.cells),
            pending_steps=self._pending_steps(),
            owner=self.owner,
        )

    def _pending_steps(self) -> tuple[StepStatus, ...]:
        line = self.line
        change = self._next or (self._current if line.wanted else None)
        if change is None or change.definition is None:
            return ()
        known = {cell.step_id: cell for cell in (*line.chain.running, *line.wanted)}
        return tuple(
            known[step.step_id].describe() if step.step_id in known else _describe_unborn(step)
            for step in line.plan(change.definition).wanted
        )

    def _on_trouble(self, cell: Cell) -> None:
        """A step has failed that was ready: what is being carried out hears of it, and what it broke is shut down."""
        for part in (self._current, self._idle):
            if isinstance(part, Part):
                part.fail(cell)
        self._stir.unpark_all()

    # Its own task.

    async def run(self, after: Sequence[trio.Event] = ()) -> None:
        """Run until cancelled, retired or abandoned; begins when all of `after` (ends of predecessors) are set."""
        structlog.contextvars.clear_contextvars()  # of the request that happened to create it
        structlog.contextvars.bind_contextvars(workflow=self.name)
        tally = self._totals.open((self.name, "", ""), self.line.counts)
        try:
            with self._scope:
                for event in after:
                    await event.wait()
                async with trio.open_nursery() as self._nursery:
                    await self._carry_out_changes()
        finally:
            self.line.close()
            self._totals.close(tally)
            self._finish_stopped()
            self._leave_transactions()
            self.ended.set()
            self._publish(WorkflowEnded(self.name))
            log.info("workflow ended")

    def _finish_stopped(self) -> None:
        message = f"workflow '{self.name}' was stopped before its update had finished"
        for change in (self._current, self._next):
            if isinstance(change, Change):
                change.finish(OutcomeKind.STOPPED, message)

    def _leave_transactions(self) -> None:
        for part in (self._current, self._next, self._idle):
            if isinstance(part, Part):
                part.transaction.give_up(OutcomeKind.STOPPED, f"workflow '{self.name}' was stopped meanwhile")
                part.done.set()

    async def _carry_out_changes(self) -> None:
        while True:
            if self.line.is_breaking:
                await self.line.break_down()
            elif self._hindrances:
                await self._hindrances.pop().wait()
            elif self._next is not None:
                self._current, self._next = self._next, None
                if not await self._carry_out(self._current):
                    return
                self._current = None
            else:
                await self._stir.park()

    async def _carry_out(self, change: Change | Part) -> bool:
        """One change, from its turn to its outcome. False when the workflow is to end with it."""
        try:
            if isinstance(change, Change):
                return await self._carry_out_alone(change)
            return await self._carry_out_part(change)
        finally:
            self.line.forget()

    async def _carry_out_part(self, part: Part) -> bool:
        await carry_out_part(part, self.line, self._nursery)
        is_over = part.definition is None if part.transaction.is_swapped else self._abandon_creation()
        if not is_over:
            part.done.set()
        return not is_over

    async def _carry_out_alone(self, change: Change) -> bool:
        line = self.line
        plan = line.plan(change.definition)
        if line.is_as(change.definition, plan):
            line.definition = change.definition
            change.finish(OutcomeKind.APPLIED, "nothing to change")
            return True
        fresh = line.prepare(plan)
        await line.start(self._nursery, fresh)
        if line.may_swap(fresh):
            await line.settle()
        if line.may_swap(fresh):
            await self._swap(change)
            return True
        return await self._give_up(change, fresh)

    async def _swap(self, change: Change) -> None:
        """The swap itself runs without a checkpoint; then what was taken out is awaited."""
        removed = self.line.rewire()
        self.line.conclude(change.definition, len(removed))
        await stop(removed)
        if self.line.is_breaking:
            self._finish_broken(change)
        else:
            change.finish(OutcomeKind.APPLIED, "running")

    def _finish_broken(self, change: Change) -> None:
        """A step that carries media has failed in the middle of the change: there is nothing to go back to."""
        assert self.line.failed is not None
        change.finish(OutcomeKind.FAILED, ("not rolled back: " if change.rollback else "") + reason(self.line.failed))

    async def _give_up(self, change: Change, fresh: Sequence[Cell]) -> bool:
        """The change cannot be carried out: leave no trace of it, or put the workflow in error."""
        failed = next((cell for cell in fresh if cell.error is not None), None)
        self.line.chain.release()
        if failed is not None and not change.rollback:
            await stop(self.line.fail(change.definition, failed))
            change.finish(OutcomeKind.FAILED, reason(failed))
            return True
        await stop(fresh)
        if self.line.is_breaking and change.rollback:
            self._finish_broken(change)
        elif failed is not None:
            change.finish(OutcomeKind.ROLLED_BACK, f"rolled back: {reason(failed)}")
        elif self._next is not None or change.is_superseded:
            self._supersede(change)
        else:
            # A step that carries media has failed, perhaps the one to be removed: once the workflow is broken down,
            # the same change starts everything anew.
            self._next = change
        return not self._abandon_creation()

    def _abandon_creation(self) -> bool:
        """Whether a creation that failed leaves nothing, and nobody asks for more."""
        if self.line.definition is not None or self._next is not None:
            return False
        self._on_retired(self)
        return True

    def _supersede(self, change: Change) -> None:
        change.finish(OutcomeKind.SUPERSEDED, f"superseded by a newer update of workflow '{self.name}'")


def _describe_unborn(step: WantedStep) -> StepStatus:
    definition = step.definition
    return StepStatus(step.step_id, definition.step_type, definition.shown_parameters(), "Created")
