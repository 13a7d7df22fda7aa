"""The sequence of a workflow's steps as it is wired, and the two halves of changing it: settle, then swap.

To settle, a wave runs down the changed segment: from the first step on, the gate into a step is closed and the
wave waits until the step has worked off its inbox and waits for input again; then all that it was given stands in
the next link.  Steps that emit without input are held at the gate of their output.  At the end nothing is in flight,
and the swap rewires in one synchronous function.
"""

from collections.abc import Sequence
from itertools import zip_longest

import structlog
import trio

from mmids_trio.media.flow import Flow
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.links import Inbox
from mmids_trio.workflow.plan import changed_segment
from mmids_trio.workflow.rewiring import rewire

log = structlog.get_logger()

SETTLE_SECONDS = 1.0
"""How long the wave may take for the whole workflow (the specification's figure)."""


class Chain:
    """The steps that carry media now, in order."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self._gated: list[Cell] = []

    @property
    def ids(self) -> tuple[str, ...]:
        """Identities of the steps, in order."""
        return _ids(self.cells)

    @property
    def running(self) -> list[Cell]:
        """The steps that are at work: all of them, or none after the workflow has failed."""
        return [cell for cell in self.cells if not cell.ended.is_set()]

    async def settle(self, wanted: Sequence[Cell]) -> None:
        """Bring the segment that a swap to `wanted` touches to rest, or give up after `SETTLE_SECONDS`.

        Leaves gates closed: `swap` or `release` must follow.
        """
        running = self.running
        segment = changed_segment(_ids(running), _ids(wanted))
        touched = running[segment.prefix : len(running) - segment.suffix]
        if not touched:
            return
        with trio.move_on_after(SETTLE_SECONDS) as scope:
            if segment.prefix:
                self._close_gate(running[segment.prefix - 1])
            for cell in touched:
                if cell.flow is Flow.PASSES_ON:
                    await cell.inbox.wait_rest()
                self._close_gate(cell)
        if scope.cancelled_caught:
            busy = [cell.step_id for cell in touched if not cell.is_settled]
            log.warning("steps did not come to rest before a change", steps=busy, seconds=SETTLE_SECONDS)

    def _close_gate(self, cell: Cell) -> None:
        cell.outlet.close_gate()
        self._gated.append(cell)

    def release(self) -> None:
        """Let media flow again after a settled change was given up (or carried out)."""
        gated, self._gated = self._gated, []
        for cell in gated:
            cell.outlet.open_gate()

    def swap(self, wanted: Sequence[Cell]) -> list[Cell]:
        """Rewire to `wanted`, all of it ready, in one go; returns the steps that were taken out, cancelled."""
        before, self.cells = self.running, list(wanted)
        kept = frozenset(wanted)
        removed = [cell for cell in before if cell not in kept]
        self._rewire(before)
        for cell in self.cells:
            cell.commit()
        for cell in removed:
            self._count_losses(cell)
            cell.cancel()
        self.release()
        return removed

    def _rewire(self, before: Sequence[Cell]) -> None:
        old = frozenset(before)
        nodes = {cell: cell.node(is_new=cell not in old) for cell in (*before, *self.cells)}
        segment = changed_segment(_ids(before), self.ids)
        deliveries = rewire([nodes[cell] for cell in before], [nodes[cell] for cell in self.cells], segment)
        told = {delivery.step_id: delivery for delivery in deliveries}
        for cell, following in zip_longest(self.cells, self.cells[1:]):
            delivery = told.get(cell.step_id)
            cell.outlet.connect(_inbox_of(following), echoes=delivery.echoes if delivery else ())
            if delivery:
                cell.inbox.carry(delivery.events)

    def _count_losses(self, cell: Cell) -> None:
        lost = cell.inbox.discard()
        if lost and cell.flow is not Flow.REPLACES:
            log.warning("media lost with a step that did not come to rest", step=cell.step_id, at_most=lost)


def _ids(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(cell.step_id for cell in cells)


def _inbox_of(cell: Cell | None) -> Inbox | None:
    """Where the step in front of `cell` delivers to: nowhere, at the end or before a step that only produces."""
    return None if cell is None or cell.flow is Flow.PRODUCES else cell.inbox
