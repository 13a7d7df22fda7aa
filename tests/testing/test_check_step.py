"""`check_step` names what is wrong with planted steps, in the words of the contract, and finds nothing in others."""

import re
from collections.abc import Sequence

import pytest
import trio
from attrs import define, field

from mmids_trio.errors import ConfigurationError
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket
from mmids_trio.media.flow import Flow
from mmids_trio.testing.checking import GivenStep, check_step
from mmids_trio.testing.step_rules import StepFault, StepRule
from mmids_trio.workflow.step import Inbox, Outbox
from tests.testing.planted import keeping, losing, passing, waiting
from tests.testing.planted.kit import planted

MOST_RUNS = 2000

PLANTED: dict[str, tuple[GivenStep, StepRule]] = {
    "lost wake-up": (planted(waiting.LosesAWakeUp), StepRule.LOST),
    "no started": (planted(waiting.IsNeverReady), StepRule.READY),
    "timeout around send": (planted(losing.GivesUpSending), StepRule.LOST),
    "two-channel race": (planted(passing.EndsStreamsBySide), StepRule.ORDER),
    "no close on cancel": (planted(keeping.KeepsAFileOpen), StepRule.NOTHING_LEFT),
    "check-then-act": (planted(losing.FlushesTwice), StepRule.REPEATED),
    "Cancelled swallowed": (planted(waiting.SwallowsItsCancellation), StepRule.CANCELLED),
    "livelock": (planted(waiting.Spins), StepRule.LIVELOCK),
    "blocking call": (planted(waiting.Blocks), StepRule.BLOCKS),
    "StreamEnded swallowed": (planted(passing.SwallowsEnds), StepRule.ENDED),
    "copies for originals": (planted(passing.SendsCopies), StepRule.IDENTITY),
    "duplicate headers": (planted(passing.RepeatsHeaders), StepRule.HEADERS),
    "a timeout that accumulates": (planted(waiting.WaitsEverLonger), StepRule.STATE),
    "a system task": (planted(keeping.StartsASystemTask), StepRule.NOTHING_LEFT),
    "growing state": (planted(keeping.RemembersEveryStream), StepRule.STATE),
    "state that only the collector takes away": (planted(keeping.LeavesItToTheCollector), StepRule.STATE),
    "an unowned task in a nursery of others": (keeping.with_a_nursery_of_the_program, StepRule.NOTHING_LEFT),
    "shield without deadline": (planted(waiting.ShieldsItselfForEver), StepRule.ENDS),
    "event lost on cancel": (planted(losing.RestartsItsWorker), StepRule.LOST),
    "wrong order of two channels": (planted(passing.SendsSoundBySide), StepRule.ORDER),
    "an ended stream used on": (planted(passing.FillsAGapOfAnEndedStream), StepRule.LEGAL),
    "resource kept after a swap": (keeping.with_names_of_the_program, StepRule.NOTHING_LEFT),
    "back-pressure ignored": (planted(losing.QueuesWithoutEnd), StepRule.BACK_PRESSURE),
}


@pytest.mark.thorough
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(fault: str) -> None:
    step, rule = PLANTED[fault]
    with pytest.raises(StepFault) as caught:
        check_step(step, schedules=MOST_RUNS)
    assert caught.value.rule is rule
    assert str(caught.value).startswith(rule.value)


@pytest.mark.thorough
def test_a_report_names_the_scenario_and_the_switches_and_repeats_the_fault() -> None:
    step, rule = PLANTED["lost wake-up"]
    with pytest.raises(StepFault) as caught:
        check_step(step, schedules=MOST_RUNS)
    [note] = caught.value.__notes__
    assert "in this scenario: a reader that is slow and stands still at times" in note
    assert re.search(r"^(one switch matters|\d switches matter); without any", note, re.MULTILINE)
    only = re.findall(r"only='(.*)'\)", note)[0]
    with pytest.raises(StepFault) as again:
        check_step(step, only=only)
    assert (again.value.rule, str(again.value)) == (rule, str(caught.value))
    assert check_step(step, only=f"{only.split()[0]} plain") == 1


def without_sound(events: Sequence[MediaEvent]) -> list[MediaEvent]:
    return [event for event in events if not (isinstance(event, MediaPacket) and event.kind is MediaKind.AUDIO)]


@define(eq=False)
class DropsSound:
    """Keeps the contract: who passes on may leave out."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            await outbox.send(without_sound(await inbox.receive()))


@pytest.mark.thorough
def test_what_a_step_leaves_out_is_a_fault_where_it_is_expected() -> None:
    step = planted(DropsSound)
    assert check_step(step, schedules=20) > 20
    assert check_step(step, schedules=20, expects=without_sound) > 20
    with pytest.raises(StepFault, match="never came now: audio") as caught:
        check_step(step, expects=list)
    assert caught.value.rule is StepRule.LOST


@define(eq=False)
class Breaks:
    """Cannot go on, and says so with an error of its own making."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await inbox.receive()
        raise LookupError("no such stream")


def test_a_step_that_breaks_is_named_with_its_error() -> None:
    with pytest.raises(StepFault, match="no such stream") as caught:
        check_step(planted(Breaks))
    assert caught.value.rule is StepRule.RUNS


def test_parameters_are_checked_as_those_of_a_configuration() -> None:
    with pytest.raises(ConfigurationError, match="unknown parameter 'count'"):
        check_step(planted(DropsSound), "count=2")


async def test_inside_of_trio_it_says_where_to_call_it() -> None:
    with pytest.raises(RuntimeError, match="check_step runs trio itself, many times"):
        check_step(planted(waiting.Spins))
