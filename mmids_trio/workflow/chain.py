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
from attrs import define, field

from mmids_trio.media.flow import Flow
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.inlet import Inlet
from mmids_trio.workflow.links import Inbox, Outlet
from mmids_trio.workflow.plan import changed_segment
from mmids_trio.workflow.rewiring import Node, rewire

log = structlog.get_logger()

SETTLE_SECONDS = 1.0
"""How long the wave may take for the whole workflow (the specification's figure)."""


@define(eq=False)
class Head:
    """The place in front of the first step, where other workflows' streams enter if that step takes input."""

    step_id: str = field(default="", init=False)
    flow: Flow = field(default=Flow.PRODUCES, init=False)
    is_settled: bool = field(default=True, init=False)
    outlet: Outlet = field(factory=Outlet, init=False)

    def node(self, *, is_new: bool) -> Node:
        """The place as the rewiring sees it."""
        return Node(self.step_id, self.flow, self.outlet.ledger, is_new=is_new)


Place = Cell | Head


class Chain:
    """The steps that carry media now, in order."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.inlet = Inlet()
        self._head = Head()
        self._gated: list[Place] = []

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
        running = self._sequence(self.running)
        segment = changed_segment(_ids(running), _ids(self._sequence(wanted)))
        touched = running[segment.prefix : len(running) - segment.suffix]
        if not touched:
            return
        with trio.move_on_after(SETTLE_SECONDS) as scope:
            if segment.prefix:
                self._close_gate(running[segment.prefix - 1])
            for cell in touched:
                if isinstance(cell, Cell) and cell.flow is Flow.PASSES_ON:
                    await cell.inbox.wait_rest()
                self._close_gate(cell)
        if scope.cancelled_caught:
            busy = [cell.step_id for cell in touched if not cell.is_settled]
            log.warning("steps did not come to rest before a change", steps=busy, seconds=SETTLE_SECONDS)

    def _close_gate(self, cell: Place) -> None:
        cell.outlet.close_gate()
        self._gated.append(cell)

    def release(self) -> None:
        """Let media flow again after a settled change was given up (or carried out)."""
        gated, self._gated = self._gated, []
        for cell in gated:
            cell.outlet.open_gate()
        self.inlet.let_go_on()

    def swap(self, wanted: Sequence[Cell]) -> list[Cell]:
        """Rewire to `wanted`, all of it ready, in one go; returns the steps that were taken out, cancelled."""
        before, self.cells = self.running, list(wanted)
        kept = frozenset(wanted)
        removed = [cell for cell in before if cell not in kept]
        self._rewire(self._sequence(before), self._sequence(self.cells))
        for cell in self.cells:
            cell.commit()
        for cell in removed:
            self._count_losses(cell)
            cell.cancel()
        self.release()
        return removed

    def _sequence(self, cells: Sequence[Cell]) -> list[Place]:
        """The steps behind the place where other workflows' streams enter: the first step, where that only produces."""
        return list(cells) if cells and cells[0].flow is Flow.PRODUCES else [self._head, *cells]

    def _rewire(self, before: Sequence[Place], after: Sequence[Place]) -> None:
        old = frozenset(before)
        nodes = {place: place.node(is_new=place not in old) for place in (*before, *after)}
        segment = changed_segment(_ids(before), _ids(after))
        deliveries = rewire(
            [nodes[place] for place in before], [nodes[place] for place in after], segment, self.inlet.streams
        )
        told = {delivery.step_id: delivery for delivery in deliveries}
        self._head.outlet.connect(None)
        for place, following in zip_longest(after, after[1:]):
            delivery = told.get(place.step_id)
            place.outlet.connect(_inbox_of(following), echoes=delivery.echoes if delivery else ())
            if delivery and isinstance(place, Cell):
                place.inbox.carry(delivery.events)
        self.inlet.enter_through(after[0].outlet)

    def _count_losses(self, cell: Cell) -> None:
        lost = cell.inbox.discard()
        if lost and cell.flow is not Flow.REPLACES:
            log.warning("media lost with a step that did not come to rest", step=cell.step_id, at_most=lost)


def _ids(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(place.step_id for place in places)


def _inbox_of(place: Place | None) -> Inbox | None:
    """Where the step in front of `place` delivers to: nowhere, at the end or before a step that only produces."""
    return place.inbox if isinstance(place, Cell) and place.flow is not Flow.PRODUCES else None
