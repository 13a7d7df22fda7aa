"""Changes to a workflow from their acceptance to their outcome: what starts, what stops, what everybody is told."""

from functools import partial
from weakref import ref

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import CannotSwitch, StepError
from mmids_trio.media.events import StreamId, StreamStarted
from mmids_trio.testing.state_growth import without_collector
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.pipeline import StepPipeline
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView, Switched
from tests.support.managed import Stage
from tests.support.toy_steps import Bench, definition

SOURCE, A, B, C = "source:s", "recorder:a", "recorder:b", "recorder:c"


async def test_a_workflow_starts_with_all_its_steps(stage: Stage) -> None:
    outcome = await stage.apply(SOURCE, A)
    assert outcome == Outcome(OutcomeKind.APPLIED, "running")
    assert (stage.status, stage.active, stage.pending) == ("Running", ["s Active", "a Active"], [])


async def test_a_workflow_without_steps_runs(stage: Stage) -> None:
    await stage.run()
    assert stage.status == "Running"
    await stage.run(A)
    await stage.run()
    assert (stage.active, stage.bench.running) == ([], [])


async def test_while_new_steps_get_ready_the_old_ones_carry_on(stage: Stage) -> None:
    change = stage.submit(SOURCE, A)
    assert (stage.status, stage.active, stage.pending) == ("Running", [], ["s Created", "a Created"])
    await change.wait_outcome()
    change = stage.submit(SOURCE, C, "recorder:b waits")
    await wait_all_tasks_blocked()
    assert (stage.status, stage.active) == ("Running", ["s Active", "a Active"])
    assert stage.pending == ["s Active", "c Active", "b Created"]
    stage.bench["b"].let_ready()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (stage.active, stage.pending) == (["s Active", "c Active", "b Active"], [])
    assert stage.bench.running == ["b", "c", "s"]


async def test_an_equal_definition_changes_nothing_at_all(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    built = list(stage.bench.built)
    change = stage.manager.apply(definition("w", SOURCE, A, routed=True))
    assert not change.plan.changed
    assert await change.wait_outcome() == Outcome(OutcomeKind.APPLIED, "nothing to change")
    assert stage.bench.built == built


async def test_a_change_that_is_over_leaves_nothing_that_only_the_collector_takes_away(stage: Stage) -> None:
    told: list[object] = []
    await stage.run(SOURCE, A)
    with without_collector():
        for steps in ((SOURCE, B), (SOURCE, B), (SOURCE, "recorder:c refuses"), (SOURCE, A)):
            change = stage.submit(*steps)
            change.when_over(partial(lambda known, outcome: told.append(outcome), change))  # as who records it does
            await change.wait_outcome()
            is_there = ref(change)
            del change
            await wait_all_tasks_blocked()
            assert is_there() is None
    assert len(told) == 4


async def test_a_removed_step_has_ended_before_the_change_is_done(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    change = stage.submit(SOURCE)
    await wait_all_tasks_blocked()
    assert stage.active == ["s Active"]
    assert stage.bench.running == ["a", "s"]
    with trio.move_on_after(0):
        await change.wait_outcome()
        pytest.fail("done before the removed step has ended")
    stage.bench["a"].let_go()
    await change.wait_outcome()
    assert stage.bench.running == ["s"]


@pytest.mark.parametrize(("habit", "reason"), [("refuses", "b refuses"), ("returns", "the step ended by itself")])
async def test_a_new_step_that_fails_puts_the_workflow_in_error(stage: Stage, habit: str, reason: str) -> None:
    await stage.run(SOURCE, A)
    outcome = await stage.apply(SOURCE, f"recorder:b {habit}", "recorder:c waits")
    step_id = stage.bench["b"].context.step_id
    assert outcome == Outcome(OutcomeKind.FAILED, f"Step id {step_id} failed: {reason}")
    assert stage.status == f"Step id b failed: {reason}"
    assert stage.active == ["s Shut Down", f"b Error: {reason}", "c Shut Down"]
    assert stage.bench.running == []


async def test_with_rollback_a_new_step_that_fails_leaves_the_old_definition_as_it_was(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    outcome = await stage.apply(SOURCE, C, "recorder:b refuses", rollback=True)
    step_id = stage.bench["b"].context.step_id
    assert outcome == Outcome(OutcomeKind.ROLLED_BACK, f"rolled back: Step id {step_id} failed: b refuses")
    assert (stage.status, stage.active, stage.pending) == ("Running", ["s Active", "a Active"], [])
    assert stage.bench.running == ["a", "s"]


async def test_a_creation_that_is_rolled_back_leaves_nothing(stage: Stage) -> None:
    outcome = await stage.apply(A, "recorder:b refuses", rollback=True)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert (stage.status, stage.bench.running) == ("gone", [])
    assert not stage.manager.names()
    await stage.run(A)


async def test_a_failed_workflow_starts_afresh(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    stage.bench["a"].fail(StepError("enough"))
    await wait_all_tasks_blocked()
    assert (stage.status, stage.active) == ("Step id a failed: enough", ["s Shut Down", "a Error: enough"])
    first = stage.bench["s"]
    change = stage.submit(SOURCE, A)
    assert stage.pending == ["s Created", "a Created"]
    assert [step.action for step in change.plan.steps] == ["start", "start"]
    await change.wait_outcome()
    assert (stage.status, stage.active) == ("Running", ["s Active", "a Active"])
    assert stage.bench["s"] is not first


async def test_a_rollback_of_a_failed_workflow_leaves_it_failed(stage: Stage) -> None:
    await stage.run(A)
    stage.bench["a"].fail(StepError("enough"))
    await wait_all_tasks_blocked()
    assert (await stage.apply("recorder:b refuses", rollback=True)).kind is OutcomeKind.ROLLED_BACK
    assert (stage.status, stage.active) == ("Step id a failed: enough", ["a Error: enough"])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (StepError("cable cut"), "cable cut"),
        (ValueError("surprise"), "ValueError: surprise"),
        (ExceptionGroup("", [ExceptionGroup("", [StepError("deep down")])]), "deep down"),
        (ExceptionGroup("", [KeyError("k"), StepError("second")]), "second"),
        (None, "the step ended by itself"),
    ],
)
async def test_a_step_that_fails_later_shuts_the_workflow_down(
    stage: Stage, fault: Exception | None, reason: str
) -> None:
    await stage.run(SOURCE, A, B)
    stage.bench["a"].fail(fault)
    await wait_all_tasks_blocked()
    assert stage.status == f"Step id a failed: {reason}"
    assert stage.active == ["s Shut Down", f"a Error: {reason}", "b Shut Down"]
    assert stage.bench.running == []


async def test_a_factory_that_raises_fails_the_step_only(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.run(SOURCE)

    def broken(*_: object) -> None:
        raise ValueError("gone since validation")

    monkeypatch.setattr(Bench, "factory", broken)
    outcome = await stage.apply(SOURCE, A, rollback=True)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert outcome.message.endswith("ValueError: gone since validation")
    assert stage.active == ["s Active"]


@pytest.mark.parametrize("kept", [[SOURCE, A], [A]])
async def test_a_step_that_fails_while_another_starts_cannot_be_rolled_back(stage: Stage, kept: list[str]) -> None:
    await stage.run(*kept)
    change = stage.submit(*kept, "recorder:b waits", C, rollback=True)
    await wait_all_tasks_blocked()
    stage.bench["a"].fail(StepError("enough"))
    outcome = await change.wait_outcome()
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message.startswith("not rolled back: ")
    await wait_all_tasks_blocked()
    assert (stage.status, stage.bench.running) == ("Step id a failed: enough", [])


async def test_a_change_goes_on_afresh_when_a_step_fails_while_others_come_to_rest(
    stage: Stage, mock_clock: MockClock
) -> None:
    await stage.run(SOURCE, "stuck:b", A)
    await stage.bench.send("s", [StreamStarted(StreamId("x"), "x")])
    first = stage.bench["a"]
    change = stage.submit(SOURCE, A, "stuck:b")  # the stuck step has to come to rest, and does not
    await wait_all_tasks_blocked()
    assert stage.active == ["s Active", "b Active", "a Active"]
    stage.bench["b"].fail(StepError("enough"))
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (stage.status, stage.active) == ("Running", ["s Active", "a Active", "b Active"])
    assert stage.bench["a"] is not first  # all of them are new


async def test_a_change_goes_on_afresh_when_the_very_step_that_it_removes_fails(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    first = stage.bench["s"]
    change = stage.submit(SOURCE, "recorder:b waits")
    await wait_all_tasks_blocked()
    stage.bench["a"].fail(StepError("enough"))
    await wait_all_tasks_blocked()
    assert (stage.status, stage.pending) == ("Step id a failed: enough", ["s Active", "b Created"])
    stage.bench["b"].let_ready()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (stage.status, stage.active, stage.pending) == ("Running", ["s Active", "b Active"], [])
    assert stage.bench["s"] is not first
    assert stage.bench.running == ["b", "s"]


async def test_a_step_that_fails_in_the_moment_when_all_has_come_to_rest_is_not_left_in_its_place(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.run(SOURCE, A)
    first = stage.bench["a"]

    async def fail_and_drain(pipeline: StepPipeline) -> None:
        monkeypatch.undo()
        pipeline.steps[1]._fail("enough")

    monkeypatch.setattr(StepPipeline, "drain", fail_and_drain)
    change = stage.submit(SOURCE, A, B)
    assert await change.wait_outcome() == Outcome(OutcomeKind.APPLIED, "running")
    assert (stage.status, stage.active) == ("Running", ["s Active", "a Active", "b Active"])
    assert stage.bench["a"] is not first


async def test_a_change_that_goes_on_afresh_may_fail(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    change = stage.submit(SOURCE, "recorder:b waits", "recorder:c refuses")
    await wait_all_tasks_blocked()
    stage.bench["a"].fail(StepError("enough"))
    await wait_all_tasks_blocked()
    stage.bench["b"].let_ready()
    outcome = await change.wait_outcome()
    assert (outcome.kind, stage.status) == (OutcomeKind.FAILED, "Step id c failed: c refuses")
    assert stage.bench.running == []


async def test_a_newer_change_takes_the_place_of_one_that_would_go_on_afresh(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    first = stage.submit(SOURCE, "recorder:b waits")
    await wait_all_tasks_blocked()
    stage.bench["a"].fail(StepError("enough"))
    second = stage.submit(SOURCE, C)
    await wait_all_tasks_blocked()
    stage.bench["a"].let_go()
    assert (await first.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (await second.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (stage.status, stage.active) == ("Running", ["s Active", "c Active"])


async def test_a_failed_workflow_that_gets_an_empty_definition_runs_again(stage: Stage) -> None:
    await stage.apply("recorder:a refuses")
    change = stage.submit()
    assert change.plan.changed
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (stage.status, stage.active) == ("Running", [])


async def test_a_step_that_fails_while_old_ones_stop_fails_the_change(stage: Stage) -> None:
    await stage.run(SOURCE, "recorder:a lingers")
    change = stage.submit(SOURCE, B, rollback=True)
    await wait_all_tasks_blocked()
    stage.bench["b"].fail(StepError("the port did not become free"))
    await wait_all_tasks_blocked()
    stage.bench["a"].let_go()
    outcome = await change.wait_outcome()
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message.startswith("not rolled back: ")
    await wait_all_tasks_blocked()
    assert stage.active == ["s Shut Down", "b Error: the port did not become free"]


async def test_what_a_given_up_step_raises_while_it_is_cancelled_is_no_failure(stage: Stage) -> None:
    await stage.run(SOURCE)
    first = stage.submit(SOURCE, "recorder:a waits spoils")
    await wait_all_tasks_blocked()
    second = stage.submit(SOURCE, B)
    assert (await first.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (await second.wait_outcome()).kind is OutcomeKind.APPLIED
    assert len([step for step in stage.bench.built if step.label == "s"]) == 1


async def test_reservations_are_committed_in_the_swap_and_only_then(stage: Stage) -> None:
    change = stage.submit("recorder:a reserves", "recorder:b waits")
    await wait_all_tasks_blocked()
    reservation = stage.bench["a"].reservation
    assert reservation.commits == 0
    stage.bench["b"].let_ready()
    await change.wait_outcome()
    assert reservation.commits == 1
    await stage.run("recorder:a reserves")
    assert reservation.commits == 1


@pytest.mark.parametrize("rollback", [False, True])
async def test_reservations_of_a_given_up_change_are_never_committed(stage: Stage, rollback: bool) -> None:
    await stage.apply("recorder:a reserves", "recorder:b refuses", rollback=rollback)
    await stage.run(C)
    assert stage.bench["a"].reservation.commits == 0


async def test_new_steps_start_in_their_order_so_that_conflicts_end_the_same_way_each_time(stage: Stage) -> None:
    change = stage.submit("recorder:a waits", "recorder:b waits")
    await wait_all_tasks_blocked()
    assert stage.bench.running == ["a"]
    stage.bench["a"].let_ready()
    await wait_all_tasks_blocked()
    assert stage.bench.running == ["a", "b"]
    stage.bench["b"].let_ready()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED


async def test_listeners_hear_of_an_outcome_before_those_who_wait_and_late_ones_at_once(stage: Stage) -> None:
    heard: list[str] = []

    async def wait(change: Change[PlanView]) -> None:
        await change.wait_outcome()
        heard.append("waited")

    async with trio.open_nursery() as nursery:
        change = stage.submit("recorder:a waits")
        nursery.start_soon(wait, change)
        change.when_over(lambda outcome: heard.append(outcome.message))
        await wait_all_tasks_blocked()
        stage.bench["a"].let_ready()
    assert heard == ["running", "waited"]
    change.when_over(lambda _outcome: heard.append("late"))
    assert heard[-1] == "late"


async def test_only_a_refusal_of_a_step_becomes_the_operator_s_answer(stage: Stage) -> None:
    await stage.run(A)
    step_id = stage.bench["a"].context.step_id
    for fault in (CannotSwitch("not now"), ValueError("a fault of the step's own")):

        def refuse(_to: str, fault: Exception = fault) -> Switched:
            raise fault

        stage.bench["a"].context.accept_switch(refuse)
        with pytest.raises(type(fault)) as raised:
            stage.manager.switch("w", step_id, "x")
        assert raised.value is fault


async def test_a_starting_step_knows_who_gives_way_to_it(stage: Stage) -> None:
    await stage.run(SOURCE, A)
    change = stage.submit(SOURCE, "recorder:b waits")
    await wait_all_tasks_blocked()
    context, leaving = stage.bench["b"].context, stage.bench["a"].context.step_id
    assert context.is_leaving("w", leaving)
    assert not context.is_leaving("v", leaving)
    assert not context.is_leaving("w", stage.bench["s"].context.step_id)
    stage.bench["b"].let_ready()
    await change.wait_outcome()
    assert not context.is_leaving("w", leaving)


async def test_what_is_to_come_is_announced_until_it_is_there_and_not_until_the_end_of_what_was(stage: Stage) -> None:
    await stage.run("recorder:l lingers")
    seen = [list(stage.bench.announced.values())]
    change = stage.submit("recorder:b waits")
    await wait_all_tasks_blocked()
    seen.append(list(stage.bench.announced.values()))
    stage.bench["b"].let_ready()
    await wait_all_tasks_blocked()
    seen.append(list(stage.bench.announced.values()))
    outcome = change.outcome
    stage.bench["l"].let_go()
    assert seen == [[], ["w"], []]
    assert (change.is_in_place, outcome) == (True, None)  # the former step was still there
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED


async def test_what_is_given_up_is_announced_no_more_while_its_steps_end(stage: Stage) -> None:
    change = stage.submit("recorder:b lingers", "recorder:c waits refuses", rollback=True)
    await wait_all_tasks_blocked()
    seen = [(stage.bench.running, list(stage.bench.announced.values()))]
    stage.bench["c"].let_ready()
    await wait_all_tasks_blocked()
    seen.append((stage.bench.running, list(stage.bench.announced.values())))
    stage.bench["b"].let_go()
    assert (await change.wait_outcome()).kind is OutcomeKind.ROLLED_BACK
    assert seen == [(["b", "c"], ["w"]), (["b"], [])]
