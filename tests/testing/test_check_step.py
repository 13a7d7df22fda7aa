"""`check_step` names what is wrong with planted steps, in the words of the contract, and finds nothing in others."""

import pytest

from mmids_trio.testing.checking import GivenStep, check_step
from mmids_trio.testing.step_rules import StepRule, StepFault
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
    "an unowned task in a nursery of others": (keeping.with_a_nursery_of_the_program, StepRule.NOTHING_LEFT),
    "shield without deadline": (planted(waiting.ShieldsItselfForEver), StepRule.ENDS),
    "event lost on cancel": (planted(losing.RestartsItsWorker), StepRule.LOST),
    "wrong order of two channels": (planted(passing.SendsSoundBySide), StepRule.ORDER),
    "an ended stream used on": (planted(passing.FillsAGapOfAnEndedStream), StepRule.LEGAL),
    "resource kept after a swap": (keeping.with_names_of_the_program, StepRule.NOTHING_LEFT),
    "back-pressure ignored": (planted(losing.QueuesWithoutEnd), StepRule.BACK_PRESSURE),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named(fault: str) -> None:
    step, rule = PLANTED[fault]
    with pytest.raises(StepFault) as caught:
        check_step(step, schedules=MOST_RUNS)
    assert caught.value.rule is rule
    assert str(caught.value).startswith(rule.value)
