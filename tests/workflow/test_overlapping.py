"""Changes that meet others, stops that meet changes, callers that hang up, and workflows beside each other."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView
from tests.support.managed import Stage
from tests.support.numbered_events import Footage
from tests.support.toy_sets import apply

SOURCE, A, B, C = "source:s", "recorder:a", "recorder:b", "recorder:c"


async def kind(change: Change[PlanView]) -> OutcomeKind:
    return (await change.wait_outcome()).kind


async def test_a_change_supersedes_one_whose_steps_are_not_ready(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    first = stage.submit(SOURCE, "recorder:b waits", C)
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE, A, "recorder:d")
    outcome = await first.wait_outcome()
    assert (outcome.kind, outcome.message) == (
        OutcomeKind.SUPERSEDED,
        "superseded by a newer update of workflow 'w'",
    )
    assert await kind(second) is OutcomeKind.APPLIED
    assert stage.active == ["s Active", "a Active", "d Active"]
    assert stage.bench.running == ["a", "d", "s"]


async def test_of_changes_that_queue_only_the_last_is_carried_out(stage: Stage) -> None:
    first, *middle, last = [stage.submit(SOURCE, f"recorder:{label}") for label in "abcd"]
    assert [await kind(change) for change in (first, *middle)] == [OutcomeKind.SUPERSEDED] * 3
    assert await kind(last) is OutcomeKind.APPLIED
    assert [step.label for step in stage.bench.built if step.kind == "recorder"] == ["d"]


async def test_a_superseded_creation_goes_over_into_its_successor(stage: Stage) -> None:
    first = stage.submit("recorder:a waits", rollback=True)
    await wait_all_tasks_blocked()
    second = stage.submit(B)
    assert [await kind(first), await kind(second)] == [OutcomeKind.SUPERSEDED, OutcomeKind.APPLIED]
    assert stage.active == ["b Active"]


async def test_the_old_definition_asked_for_again_gives_a_waiting_change_up(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    first = stage.submit(SOURCE, "recorder:b waits reserves")
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE, A)
    assert [await kind(first), await kind(second)] == [OutcomeKind.SUPERSEDED, OutcomeKind.APPLIED]
    assert (stage.bench.running, stage.bench["b"].reservation.commits) == (["a", "s"], 0)


async def test_a_change_that_arrives_in_or_after_the_swap_waits_for_its_turn(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    first = stage.submit(SOURCE, B)
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE, C)
    await wait_all_tasks_blocked()
    assert stage.active == ["s Active", "b Active"]
    assert stage.pending == ["s Active", "c Created"]
    stage.bench["a"].let_go()
    assert [await kind(first), await kind(second)] == [OutcomeKind.APPLIED, OutcomeKind.APPLIED]
    assert stage.active == ["s Active", "c Active"]


async def test_a_change_that_finds_when_its_turn_comes_that_all_is_as_it_wants_changes_nothing(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    first = stage.submit(SOURCE)
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE)
    await wait_all_tasks_blocked()
    stage.bench["a"].let_go()
    assert await first.wait_outcome() == Outcome(OutcomeKind.APPLIED, "running")
    assert await second.wait_outcome() == Outcome(OutcomeKind.APPLIED, "nothing to change")


async def test_a_change_that_arrives_while_steps_come_to_rest_is_carried_out_next(
    stage: Stage, autojump_clock: MockClock
) -> None:
    await stage.run(SOURCE, "slow:a", B)
    first = stage.submit(SOURCE, B)
    second = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.wait_outcome)
        second = stage.submit(SOURCE, B, C)
    assert await kind(second) is OutcomeKind.APPLIED
    assert stage.active == ["s Active", "b Active", "c Active"]


async def test_a_newer_change_takes_the_place_of_one_whose_steps_have_not_come_to_rest(
    stage: Stage, mock_clock: MockClock
) -> None:
    await stage.run(SOURCE, "stuck:b", A)
    await stage.bench.send("s", Footage().start())
    first = stage.submit(SOURCE, A, "stuck:b")
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE, "stuck:b", A, C)
    assert [await kind(first), await kind(second)] == [OutcomeKind.SUPERSEDED, OutcomeKind.APPLIED]
    assert stage.active == ["s Active", "b Active", "a Active", "c Active"]
    assert stage.bench.running == ["a", "b", "c", "s"]


async def test_a_caller_that_hangs_up_does_not_stop_the_change(stage: Stage) -> None:
    async with trio.open_nursery() as callers:
        callers.start_soon(stage.apply, SOURCE, "recorder:a waits")
        await wait_all_tasks_blocked()
        callers.cancel_scope.cancel()
    stage.bench["a"].let_ready()
    await wait_all_tasks_blocked()
    assert (stage.active, stage.pending) == (["s Active", "a Active"], [])


async def test_stopping_what_does_not_run_is_no_error(stage: Stage) -> None:
    await stage.manager.stop("w")
    assert stage.status == "gone"


async def test_a_stop_returns_when_nothing_is_left(stage: Stage) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    await stage.run(SOURCE, A, "slow:b", "replacer:c")
    await stage.manager.stop("w")
    await wait_all_tasks_blocked()
    assert (stage.status, stage.bench.running) == ("gone", [])
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_stop_ends_a_change_whose_steps_are_not_ready(stage: Stage) -> None:
    change = stage.submit(SOURCE, "recorder:a waits")
    await wait_all_tasks_blocked()
    await stage.manager.stop("w")
    assert await kind(change) is OutcomeKind.STOPPED
    assert stage.bench.running == []


async def test_a_stop_ends_a_change_that_settles(stage: Stage, autojump_clock: MockClock) -> None:
    await stage.run(SOURCE, "stuck:a", B)
    await stage.bench.send("s", [])
    change = stage.submit(SOURCE, B)
    await stage.manager.stop("w")
    assert await kind(change) is OutcomeKind.STOPPED
    assert (trio.current_time(), stage.bench.running) == (0, [])


async def test_a_stop_in_the_swap_waits_for_removed_steps_too(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    change = stage.submit(SOURCE)
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.manager.stop, "w")
        await wait_all_tasks_blocked()
        assert await kind(change) is OutcomeKind.STOPPED
        assert stage.bench.running == ["a"]
        assert nursery.child_tasks
        stage.bench["a"].let_go()
    assert stage.bench.running == []


async def test_a_workflow_created_at_once_after_a_stop_waits_for_the_end_of_the_old_one(stage: Stage) -> None:
    await stage.run("recorder:a lingers")
    old = stage.bench["a"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.manager.stop, "w")
        await wait_all_tasks_blocked()
        change = stage.submit("recorder:a lingers")
        await wait_all_tasks_blocked()
        assert (stage.active, stage.pending) == ([], ["a Created"])
        assert stage.bench.built == [old]
        old.let_go()
    assert await kind(change) is OutcomeKind.APPLIED
    stage.bench["a"].let_go()
    assert stage.active == ["a Active"]


async def test_stops_and_starts_in_a_row_leave_the_last_one_running(stage: Stage) -> None:
    await stage.run("recorder:a lingers")
    old, outcomes = stage.bench["a"], []
    async with trio.open_nursery() as nursery:
        for label in "bcd":
            nursery.start_soon(stage.manager.stop, "w")
            await wait_all_tasks_blocked()
            outcomes.append(stage.submit(f"recorder:{label}"))
        old.let_go()
    assert [await kind(change) for change in outcomes] == [OutcomeKind.STOPPED] * 2 + [OutcomeKind.APPLIED]
    assert [step.label for step in stage.bench.built] == ["a", "d"]
    await stage.manager.stop("w")
    assert not stage.manager._ending


async def test_a_stop_goes_on_when_its_caller_hangs_up(stage: Stage) -> None:
    await stage.run("recorder:a lingers")
    with trio.move_on_after(0):
        await stage.manager.stop("w")
    assert stage.status == "gone"
    stage.bench["a"].let_go()
    await stage.manager.stop("w")
    assert stage.bench.running == []


async def test_a_failed_workflow_can_be_stopped(stage: Stage) -> None:
    await stage.apply("recorder:a refuses")
    await stage.manager.stop("w")
    assert stage.status == "gone"


async def test_stop_all_leaves_nothing(stage: Stage) -> None:
    await stage.run(SOURCE, name="v")
    await stage.run(SOURCE)
    await stage.manager.stop_all()
    assert (stage.manager.names(), stage.bench.running) == ([], [])


@pytest.mark.parametrize("hanging", ["recorder:x waits", "stuck:x"])
async def test_a_slow_change_of_one_workflow_holds_up_no_other(stage: Stage, hanging: str) -> None:
    await stage.run(SOURCE, name="v")
    stage.submit(SOURCE, hanging, name="v")
    await wait_all_tasks_blocked()
    await stage.run(SOURCE, A)
    await stage.run(SOURCE, A, B)
    await stage.manager.stop("w")
    assert stage.manager.names() == ["v"]


async def test_a_crash_of_one_workflow_leaves_the_others_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.run(SOURCE)
    with monkeypatch.context() as patch:
        patch.setattr("mmids_trio.workflow.pipeline.RunningStep", None)
        outcome = await stage.apply(A, name="v")
        of_set = await apply(stage, {"u": [], "v": [A]})
    assert outcome == Outcome(OutcomeKind.STOPPED, "workflow 'v' was stopped before its update had finished")
    assert of_set == Outcome(OutcomeKind.STOPPED, "workflow 'v' was stopped meanwhile")
    await wait_all_tasks_blocked()
    assert stage.manager.names() == ["w"]
    await stage.run(SOURCE, A)


async def test_a_crash_of_a_change_is_told_as_such_and_leaves_what_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.run(SOURCE)
    with monkeypatch.context() as patch:
        patch.setattr("mmids_trio.workflow.pipeline.StepPipeline.relink", None)
        outcome = await stage.apply(SOURCE, A)
    assert outcome == Outcome(OutcomeKind.FAILED, "the update crashed")
    await wait_all_tasks_blocked()
    assert (stage.active, stage.bench.running) == (["s Active"], ["s"])
    await stage.run(SOURCE, A)
