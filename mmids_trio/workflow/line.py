"""The steps of one workflow and the phases of changing them: prepare, start, settle, swap, stop.

Apart from the workflow, which decides what is carried out and when: a change of its own goes through the phases at
once, a part of a transaction goes from one to the next with the parts of the other workflows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog
import trio
from attrs import field, frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.catalog import WORKFLOW_DROPPED, WORKFLOW_FAILED, WORKFLOW_STEPS
from mmids_trio.metrics.counts import Counts
from mmids_trio.metrics.totals import Totals
from mmids_trio.steps.base import StepFactory
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.chain import Chain
from mmids_trio.workflow.events import StreamWentLive, StreamWentOff, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.junctions import Junctions
from mmids_trio.workflow.plan import Plan, WantedStep, make_plan

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
    totals: Totals = field(factory=Totals)


class Line:
    """The steps of one workflow. `on_trouble` is called, synchronously, when a step fails that was ready."""

    def __init__(
        self, name: str, steps: StepFactories, surroundings: Surroundings, on_trouble: Callable[[Cell], None]
    ) -> None:
        self.name = name
        self.chain = Chain()
        self.definition: WorkflowDefinition | None = None
        """What carries media (or has failed) now; `None` before the first swap."""
        self.failed: Cell | None = None
        self.is_breaking = False
        """Whether a step that carries media has failed and the others are not shut down yet."""
        self.wanted: list[Cell] = []
        """All steps of the change that is being carried out, until its swap."""
        self.leaving: frozenset[str] = frozenset()
        self.peers: Mapping[str, Line] = {}
        """The lines, by workflow, that swap in one with this one."""
        self._steps = steps
        self._junctions = surroundings.junctions
        self._publish = surroundings.hub.publish
        self._totals = surroundings.totals
        self._on_trouble = on_trouble
        self._attempt: trio.CancelScope | None = None
        self._settling: trio.CancelScope | None = None

    @property
    def is_starting(self) -> bool:
        """Whether new steps are being started."""
        return self._attempt is not None

    def counts(self) -> Counts:
        """How the workflow as a whole stands."""
        return {
            (WORKFLOW_FAILED, ()): int(self.failed is not None),
            (WORKFLOW_STEPS, ()): 0 if self.failed else len(self.chain.cells),
            (WORKFLOW_DROPPED, ()): self.chain.inlet.dropped_groups,
        }

    def plan(self, definition: WorkflowDefinition) -> Plan:
        """What `definition` would change, compared with what carries media now."""
        return make_plan(() if self.failed else self.chain.ids, definition)

    def is_as(self, definition: WorkflowDefinition, plan: Plan | None = None) -> bool:
        """Whether the line runs already as `definition` says."""
        if self.definition is None or self.failed is not None:
            return False
        return self.definition == definition or (plan or self.plan(definition)).is_empty

    # The phases.

    def prepare(self, plan: Plan) -> list[Cell]:
        """Make the cells of the new steps; nothing of them runs yet."""
        fresh = {step.step_id: self._cell(step) for step in plan.start}
        running = {} if self.failed else {cell.step_id: cell for cell in self.chain.cells}
        self.wanted = [fresh.get(step_id) or running[step_id] for step_id in plan.order]
        self.leaving = frozenset(plan.stop)
        return list(fresh.values())

    def prepare_end(self) -> None:
        """All steps are to go."""
        self.wanted, self.leaving = [], frozenset(self.chain.ids)

    def _cell(self, step: WantedStep) -> Cell:
        cell = Cell(
            self.name,
            step.step_id,
            step.definition,
            self._is_leaving,
            self._on_step_failure,
            self._publish,
            self._totals,
        )
        cell.outlet.ledger.on_stream = partial(self._on_stream, cell)
        return cell

    def _on_stream(self, cell: Cell, started: StreamStarted, is_live: bool) -> None:
        """A stream has begun or ended behind a step; only those that produce bring it in."""
        if cell.flow is Flow.PRODUCES and started.stream_id not in self.chain.inlet.streams:
            kind = StreamWentLive if is_live else StreamWentOff
            self._publish(kind(self.name, cell.step_id, started.stream_id, started.stream_name))

    def _is_leaving(self, workflow: str, step_id: str) -> bool:
        line = self if workflow == self.name else self.peers.get(workflow)
        return line is not None and step_id in line.leaving

    def _on_step_failure(self, cell: Cell) -> None:
        if self.failed is None and cell in self.chain.cells:
            self.failed, self.is_breaking = cell, True
        for scope in (self._attempt, self._settling):
            if scope is not None:
                scope.cancel()
        self._on_trouble(cell)

    async def start(self, nursery: trio.Nursery, fresh: Sequence[Cell]) -> None:
        """Start the new steps; ends early when one fails or `cut_start` is called.

        One after another: which of two that want the same thing gets it is decided by their order, not by chance.
        """
        try:
            with trio.CancelScope() as self._attempt:
                for cell in fresh:
                    await cell.start(nursery, self._steps.factory)
                    if cell.error is not None:
                        break
        finally:
            self._attempt = None

    def cut_start(self) -> None:
        """Do not go on starting new steps."""
        if self._attempt is not None:
            self._attempt.cancel()

    async def settle(self) -> None:
        """Bring what the change touches to rest; ends early when a step fails."""
        try:
            with trio.CancelScope() as self._settling:
                await self.chain.settle(self.wanted)
        finally:
            self._settling = None

    def may_swap(self, fresh: Sequence[Cell]) -> bool:
        """Whether nothing has failed, and all new steps are ready."""
        return not self.is_breaking and all(cell.status == "Active" for cell in fresh)

    def rewire(self) -> list[Cell]:
        """The first half of the swap: wire the steps anew; returns what was taken out, cancelled. No checkpoint."""
        return self.chain.swap(self.wanted)

    def conclude(self, definition: WorkflowDefinition, removed: int) -> None:
        """The second half of the swap: the line carries media as defined, and others may send to it."""
        self._junctions.open(self.name, self.chain.inlet)
        if self.definition is None or self.failed is not None:
            self._publish(WorkflowStarted(self.name))
        self.definition, self.failed = definition, None
        self.forget()
        log.info("workflow changed", workflow=self.name, steps=len(self.chain.cells), stopped=removed)

    def forget(self) -> None:
        """The change that was being carried out is over."""
        self.wanted, self.leaving, self.peers = [], frozenset(), {}

    # The ends.

    def fail(self, definition: WorkflowDefinition, failed: Cell) -> set[Cell]:
        """Put the line in error under a new definition; returns all steps, which are to be stopped."""
        everyone = {*self.chain.cells, *self.wanted}
        self.chain.cells, self.wanted = self.wanted, []
        self.definition, self.failed = definition, failed
        self.is_breaking = False  # should a step that carried media have failed as well, it is shut down with the rest
        self.close()
        self._publish(WorkflowFailed(self.name, reason(failed)))
        return everyone

    async def break_down(self) -> None:
        """A step failed while it carried media: shut down the others."""
        log.error("workflow failed", reason=self.failed and self.failed.error)
        self.close()
        if self.failed is not None:
            self._publish(WorkflowFailed(self.name, reason(self.failed)))
        await stop(self.chain.cells)
        self.is_breaking = False

    def close(self) -> None:
        """Let nothing in from other workflows any more."""
        self._junctions.close(self.name, self.chain.inlet)


def reason(cell: Cell) -> str:
    """Why a step has failed, for outcomes and statuses."""
    return f"Step id {cell.step_id} failed: {cell.error}"


async def stop(cells: Sequence[Cell] | set[Cell]) -> None:
    """Cancel steps side by side and wait until nothing of them is left."""
    for cell in cells:
        cell.cancel()
    for cell in cells:
        await cell.ended.wait()
