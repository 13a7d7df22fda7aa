"""The work of a swap grows with the steps of a workflow and not faster."""

import pytest

from mmids_trio.definitions import StepDefinition
from mmids_trio.media.events import StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.pipeline import SharedServices, StepPipeline
from mmids_trio.workflow.plan import changed_segment
from mmids_trio.workflow.replay import Ledger
from mmids_trio.workflow.rewiring import Node, rewire
from mmids_trio.workflow.running_step import RunningStep
from tests.support.calls import calls
from tests.support.toy_steps import Bench

STEPS = 300


class Counted(RunningStep):
    """A step that counts how often any is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def step(number: int) -> Counted:
    return Counted(
        "w",
        str(number),
        StepDefinition("toy"),
        lambda _workflow, _step_id: False,
        lambda _step: None,
        lambda _event: None,
    )


@pytest.mark.thorough
async def test_a_swap_does_not_look_for_every_step_among_all_of_them() -> None:
    pipeline = StepPipeline("w", Bench(), SharedServices(), lambda _step: None)
    first = [step(number) for number in range(STEPS)]
    pipeline.wanted = [*first]
    pipeline.relink()
    second: list[RunningStep] = [*first[: STEPS // 2 : -1], step(STEPS)]
    Counted.comparisons = 0
    pipeline.wanted = second
    removed = pipeline.relink()
    assert (pipeline.steps, removed) == (second, first[: STEPS // 2 + 1])
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
