"""The work of a swap grows with the steps of a workflow and not faster."""

from mmids_trio.definitions import StepDefinition
from mmids_trio.media.events import StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.chain import Chain
from mmids_trio.workflow.plan import changed_segment
from mmids_trio.workflow.replay import Ledger
from mmids_trio.workflow.rewiring import Node, rewire
from tests.support.calls import calls

STEPS = 300


class Counted(Cell):
    """A step that counts how often any is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def cell(number: int) -> Counted:
    return Counted(
        "w",
        str(number),
        StepDefinition("toy"),
        lambda _workflow, _step_id: False,
        lambda _cell: None,
        lambda _event: None,
    )


async def test_a_swap_does_not_look_for_every_step_among_all_of_them() -> None:
    chain, first = Chain(), [cell(number) for number in range(STEPS)]
    chain.swap(first)
    second = [*first[: STEPS // 2 : -1], cell(STEPS)]
    Counted.comparisons = 0
    removed = chain.swap(second)
    assert (chain.cells, removed) == (second, first[: STEPS // 2 + 1])
    assert Counted.comparisons < 10 * STEPS


def node(number: int) -> Node:
    link = Ledger()
    link.admit([StreamStarted(StreamId("x"), "x")])
    return Node(str(number), Flow.PASSES_ON if number else Flow.PRODUCES, link)


def calls_of_rewiring(steps: int) -> int:
    """Calls of functions that it takes to move a step from the front of a line, with a stream on it, to the end."""
    before = [node(number) for number in range(steps)]
    after = [before[0], *before[2:], before[1]]
    segment = changed_segment([one.step_id for one in before], [one.step_id for one in after])
    return calls(lambda: rewire(before, after, segment)).total()


def test_rewiring_does_not_look_back_from_every_step_to_the_first() -> None:
    assert calls_of_rewiring(500) < 11 * calls_of_rewiring(50)
