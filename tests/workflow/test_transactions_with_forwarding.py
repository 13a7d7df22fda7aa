"""Workflows that forward to each other, changed in one set."""

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.workflow.plan import WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind
from tests.support.numbered_events import Footage
from tests.support.toy_forwarding import PROLOGUE, Crossing, frames
from tests.support.toy_sets import Sets, wanted
from tests.support.toy_steps import definition

SOURCE = ["source:s", "forward:target", "recorder:rest"]
TARGET = ["recorder:t"]


async def apply(crossing: Crossing, workflows: Sets, *delete: str) -> Outcome:
    outcome = await crossing.manager.apply_all(wanted(workflows, *delete)).wait_outcome()
    await wait_all_tasks_blocked()
    return outcome


@pytest.mark.parametrize("order", ["target first", "source first"])
async def test_source_and_target_of_one_set_know_each_other_from_the_first_frame(
    crossing: Crossing, order: str
) -> None:
    workflows = (
        {"target": TARGET, "source": SOURCE} if order == "target first" else {"source": SOURCE, "target": TARGET}
    )
    assert (await apply(crossing, workflows)).kind is OutcomeKind.APPLIED
    await crossing.begin("s", Footage(), 7)
    assert crossing.story("t") == crossing.story("rest") == [*PROLOGUE, *frames(*range(7))]
    await apply(crossing, {}, "source", "target")
    assert crossing.is_empty


async def test_a_target_that_is_replaced_together_with_its_forwarder_hears_of_what_is_live(crossing: Crossing) -> None:
    stream = Footage()
    await apply(crossing, {"source": SOURCE, "target": TARGET})
    await crossing.begin("s", stream, 2)
    other = {"source": ["source:s", "forward:other", "recorder:rest"], "other": ["recorder:o"]}
    assert (await apply(crossing, other, "target")).kind is OutcomeKind.APPLIED
    await crossing.send("s", stream.frames(5))
    assert crossing.story("rest") == [*PROLOGUE, *frames(*range(7))]
    assert crossing.story("o")[: len(PROLOGUE)] == PROLOGUE
    assert list(crossing.manager.names()) == ["source", "other"]
    assert crossing.story("t") == [*PROLOGUE, *frames(0, 1)]


async def test_a_set_that_fails_changes_no_way(crossing: Crossing, autojump_clock: MockClock) -> None:
    stream = Footage()
    await apply(crossing, {"source": SOURCE, "target": TARGET})
    await crossing.begin("s", stream, 2)
    failing = {"source": ["source:s", "forward:other", "recorder:rest"], "other": ["recorder:o refuses"]}
    assert (await apply(crossing, failing, "target")).kind is OutcomeKind.ROLLED_BACK
    await crossing.send("s", stream.frames(5))
    assert crossing.story("t") == crossing.story("rest") == [*PROLOGUE, *frames(*range(7))]


async def test_a_way_turns_round_in_one_set_and_a_circle_is_refused(crossing: Crossing) -> None:
    await apply(crossing, {"a": ["source:s", "forward:b", "recorder:a"], "b": ["recorder:b"]})
    turned = {"b": ["source:t", "forward:a", "recorder:b2"], "a": ["recorder:a2"]}
    assert (await apply(crossing, turned)).kind is OutcomeKind.APPLIED
    await crossing.begin("t", Footage(), 3)
    assert crossing.story("a2") == [*PROLOGUE, *frames(0, 1, 2)]
    circle = await apply(crossing, {"a": ["forward:b"]})
    assert circle.kind is OutcomeKind.ROLLED_BACK
    assert circle.message.endswith("forwarding in a circle: a -> b -> a")
    await apply(crossing, {}, "a", "b")
    assert crossing.is_empty


async def test_a_workflow_that_is_only_marked_as_routed_keeps_its_ways(crossing: Crossing) -> None:
    await apply(crossing, {"source": SOURCE, "target": TARGET})
    await crossing.begin("s", Footage(), 1)
    marked = WorkflowSet((definition("target", *TARGET, routed=True),))
    assert (await crossing.manager.apply_all(marked).wait_outcome()).kind is OutcomeKind.APPLIED
    assert crossing.story("t") == [*PROLOGUE, *frames(0)]
