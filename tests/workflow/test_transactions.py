"""Sets of workflows put in place at once: all of it, or nothing."""

from collections.abc import Sequence

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.errors import StepError
from mmids_trio.workflow.change import ORDER_SECONDS, Stopping
from mmids_trio.workflow.events import WorkflowStarted
from mmids_trio.workflow.pipeline import DRAIN_SECONDS
from mmids_trio.workflow.plan import SetConflict, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind
from tests.support.managed import Stage
from tests.support.numbered_events import Footage
from tests.support.toy_forwarding import Crossing
from tests.support.toy_sets import apply, run, shown, statuses, submit, wanted
from tests.support.toy_steps import definition

NINE = "abcdefghi"


def nine(*more: str) -> dict[str, list[str]]:
    """Nine workflows of three steps."""
    return {name: [f"source:{name}1", f"recorder:{name}2", f"recorder:{name}3", *more] for name in NINE}


async def test_a_set_starts_changes_and_stops_at_once(stage: Stage) -> None:
    await run(stage, {"a": ["source:s"], "b": ["recorder:t"]})
    await run(stage, {"c": ["recorder:u"], "a": ["source:s", "recorder:v"]}, "b", "unknown")
    assert shown(stage.manager) == {"a": ["s", "v"], "c": ["u"]}
    assert stage.bench.running == ["s", "u", "v"]


async def test_nothing_is_different_before_all_new_steps_are_ready_and_all_is_after(stage: Stage) -> None:
    await run(stage, {"a": ["source:s", "recorder:old"], "b": ["recorder:t"], "c": ["recorder:u"]})
    before = shown(stage.manager)
    change = submit(stage, {"a": ["source:s", "recorder:new"], "b": ["recorder:w waits"], "d": ["recorder:x"]}, "c")
    await wait_all_tasks_blocked()
    assert shown(stage.manager) == {**before, "d": []}
    stage.bench["w"].let_ready()
    assert await change.wait_outcome() == Outcome(OutcomeKind.APPLIED, "running")
    assert shown(stage.manager) == {"a": ["s", "new"], "b": ["w"], "d": ["x"]}
    assert stage.bench.running == ["new", "s", "w", "x"]


async def test_equal_definitions_and_an_empty_set_change_nothing_and_are_applied_at_once(stage: Stage) -> None:
    await run(stage, nine())
    built = list(stage.bench.built)
    for workflows in (nine(), {}):
        change = submit(stage, workflows)
        assert not change.plan.changed
        assert change.outcome == Outcome(OutcomeKind.APPLIED, "nothing to change")
    assert stage.bench.built == built


async def test_a_workflow_without_change_in_a_set_with_changes_takes_the_new_definition(stage: Stage) -> None:
    await run(stage, {"a": ["source:s"], "b": ["recorder:t"]})
    first = stage.bench["s"]
    change = stage.manager.apply_all(WorkflowSet((definition("a", "source:s", routed=True), definition("b"))))
    await change.wait_outcome()
    assert stage.manager.definition("a") == definition("a", "source:s", routed=True)
    assert stage.bench["s"] is first


@pytest.mark.parametrize("place", range(9))
async def test_one_of_nine_that_fails_leaves_the_server_exactly_as_it_was(stage: Stage, place: int) -> None:
    await run(stage, {name: steps for name, steps in nine().items() if name != "i"})
    before, running = statuses(stage.manager), stage.bench.running
    change = nine("recorder:more reserves")
    change[NINE[place]].append("recorder:bad refuses")
    outcome = await apply(stage, change)
    step_id = stage.bench["bad"].context.step_id
    assert outcome == Outcome(
        OutcomeKind.ROLLED_BACK, f"rolled back: workflow '{NINE[place]}': Step id {step_id} failed: bad refuses"
    )
    assert (statuses(stage.manager), stage.bench.running) == (before, running)
    assert not any(step.reservation.commits for step in stage.bench.built)
    await run(stage, nine("recorder:more reserves"))


async def test_no_packet_is_lost_where_a_set_is_rolled_back_after_all_have_come_to_rest(
    stage: Stage, autojump_clock: MockClock
) -> None:
    await run(stage, {"a": ["source:s", "slow:m", "recorder:r"], "b": ["source:t", "stuck:n", "recorder:q"]})
    footage = Footage()
    await stage.bench.send("t", Footage().start())
    await stage.bench.send("s", footage.start())
    change = submit(stage, {"a": ["source:s", "recorder:r", "slow:m"], "b": ["source:t", "recorder:q", "recorder:p"]})
    await trio.sleep(DRAIN_SECONDS / 2)
    stage.bench["p"].fail(StepError("late"))
    assert (await change.wait_outcome()).kind is OutcomeKind.ROLLED_BACK
    await stage.bench.send("s", footage.frames(5))
    await trio.sleep(1)
    assert stage.bench["r"].frames() == [b"x%d" % number for number in range(5)]
    assert shown(stage.manager) == {"a": ["s", "m", "r"], "b": ["t", "n", "q"]}


async def test_all_workflows_come_to_rest_side_by_side(stage: Stage, autojump_clock: MockClock) -> None:
    names = "abcde"
    await run(stage, {name: [f"source:{name}s", f"stuck:{name}m", f"recorder:{name}r"] for name in names})
    for name in names:
        await stage.bench.send(f"{name}s", Footage().start())
    await run(stage, {name: [f"source:{name}s", f"recorder:{name}r"] for name in names})
    assert trio.current_time() == DRAIN_SECONDS


async def test_no_workflow_is_held_while_a_new_step_of_another_gets_ready(
    stage: Stage, autojump_clock: MockClock
) -> None:
    await run(stage, {"a": ["source:s", "recorder:r", "recorder:q"]})
    footage = Footage()
    await stage.bench.send("s", footage.start())
    change = submit(stage, {"a": ["source:s", "recorder:q"], "b": ["recorder:w waits"]})
    await trio.sleep(2 * ORDER_SECONDS)
    with trio.move_on_after(1):
        await stage.bench.send("s", footage.frames(5))
    await trio.sleep(1)
    assert len(stage.bench["r"].frames()) == 5
    stage.bench["w"].let_ready()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED


async def test_no_new_step_of_a_set_runs_before_all_of_its_workflows_have_their_turn(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": []})
    submit(stage, {"a": []})
    await wait_all_tasks_blocked()
    change = submit(stage, {"b": ["recorder:n"], "a": ["recorder:m"]})
    await wait_all_tasks_blocked()
    before = stage.bench.running
    stage.bench["a"].let_go()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert (before, stage.bench.running) == (["a"], ["m", "n"])


async def test_new_steps_start_in_the_order_of_the_set_and_one_slow_start_does_not_hold_up_all(
    stage: Stage, autojump_clock: MockClock
) -> None:
    change = submit(stage, {name: [f"recorder:{name} waits"] for name in "abc"})
    await trio.sleep(ORDER_SECONDS / 2)
    assert stage.bench.running == ["a"]
    stage.bench["a"].let_ready()
    await trio.sleep(0.1)
    assert stage.bench.running == ["a", "b"]
    await trio.sleep(ORDER_SECONDS)
    assert stage.bench.running == ["a", "b", "c"]
    for label in "cb":
        stage.bench[label].let_ready()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED


async def test_who_hears_that_a_workflow_of_a_set_has_started_finds_all_of_the_set_in_place(crossing: Crossing) -> None:
    seen: list[tuple[object, dict[str, list[str]]]] = []
    crossing.hub.listen(lambda event: seen.append((event, shown(crossing.manager))))
    await crossing.manager.apply_all(
        wanted({"a": ["recorder:a"], "b": ["recorder:b"], "c": ["recorder:c"]})
    ).wait_outcome()
    everything = {"a": ["a"], "b": ["b"], "c": ["c"]}
    assert seen == [(WorkflowStarted(name), everything) for name in "abc"]


async def test_starting_steps_know_all_who_give_way_to_the_set(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a1", "recorder:a2"], "b": ["recorder:b1"], "c": ["recorder:c1"]})
    change = submit(stage, {"a": ["recorder:a1"], "c": ["recorder:c1", "recorder:n waits"]}, "b")
    await wait_all_tasks_blocked()
    new, old = stage.bench["n"].context, [stage.bench[label].context for label in ("a1", "a2", "b1", "c1")]
    assert [new.is_leaving(one.workflow, one.step_id) for one in old] == [False, True, True, False]
    stage.bench["n"].let_ready()
    await change.wait_outcome()
    assert not any(new.is_leaving(one.workflow, one.step_id) for one in old)


async def test_the_outcome_comes_when_all_that_was_taken_out_has_ended(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": ["recorder:b lingers"], "c": []})
    change = submit(stage, {"a": [], "c": ["recorder:c"]}, "b")
    for label in "ab":
        await wait_all_tasks_blocked()
        assert list(stage.manager.names()) == ["a", "c"]
        with trio.move_on_after(0):
            await change.wait_outcome()
            pytest.fail("done before all removed steps have ended")
        stage.bench[label].let_go()
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert stage.bench.running == ["c"]


async def test_a_step_that_fails_after_the_swap_cannot_be_rolled_back(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"]})
    change = submit(stage, {"a": [], "b": ["recorder:b"], "c": ["recorder:c"]})
    await wait_all_tasks_blocked()
    stage.bench["b"].fail(StepError("late"))
    await wait_all_tasks_blocked()
    stage.bench["a"].let_go()
    outcome = await change.wait_outcome()
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message.startswith("not rolled back: workflow 'b': Step id ")
    assert shown(stage.manager) == {"a": [], "c": ["c"]}


async def test_the_log_names_a_set_that_changes_something_and_those_of_its_workflows_that_change(
    stage: Stage, logs: list[EventDict]
) -> None:
    def taken() -> list[tuple[str, str | None]]:
        lines = [(entry["event"], entry.get("workflow")) for entry in logs if "changed" in entry["event"]]
        logs.clear()
        return lines

    await run(stage, {"a": ["recorder:a"], "b": ["recorder:b"]})
    assert taken() == [("workflow changed", "a"), ("workflow changed", "b"), ("set of workflows changed", None)]
    await run(stage, {"a": ["recorder:a"], "b": ["recorder:c"]})
    assert taken() == [("workflow changed", "b"), ("set of workflows changed", None)]
    await run(stage, {"a": ["recorder:a"], "b": ["recorder:c"]})
    assert taken() == []
    await stage.run("recorder:d", name="b")
    assert taken() == [("workflow changed", "b")]


@pytest.mark.parametrize("broken", ["s", "k", "idle"])
async def test_a_carrying_step_that_fails_before_the_swap_takes_all_back(stage: Stage, broken: str) -> None:
    await run(stage, {"a": ["source:s", "recorder:k"], "b": ["recorder:b"], "c": ["recorder:idle"]})
    change = submit(
        stage, {"a": ["source:s"], "b": ["recorder:b", "recorder:n waits"], "c": ["recorder:idle"], "d": ["recorder:d"]}
    )
    await wait_all_tasks_blocked()
    stage.bench[broken].fail(StepError("enough"))
    outcome = await change.wait_outcome()
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert outcome.message.endswith("failed: enough")
    await wait_all_tasks_blocked()
    left = shown(stage.manager)
    assert left == ({"a": ["s", "k"], "b": ["b"]} if broken == "idle" else {"b": ["b"], "c": ["idle"]})


async def test_a_workflow_in_error_starts_afresh_in_a_set_and_is_in_error_again_after_a_rollback(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a"], "b": []})
    stage.bench["a"].fail(StepError("enough"))
    await wait_all_tasks_blocked()
    before = statuses(stage.manager)
    assert (await apply(stage, {"a": ["recorder:a"], "b": ["recorder:b refuses"]})).kind is OutcomeKind.ROLLED_BACK
    assert statuses(stage.manager) == before
    await run(stage, {"a": ["recorder:a"], "b": ["recorder:b"]})
    assert shown(stage.manager) == {"a": ["a"], "b": ["b"]}


async def test_a_deleted_name_may_be_taken_at_once_and_waits_for_the_old_workflow(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": []})
    old = stage.bench["a"]
    first = submit(stage, {"b": ["recorder:b"]}, "a")
    await wait_all_tasks_blocked()
    second = submit(stage, {"a": ["recorder:new"], "b": ["recorder:c"]})
    await wait_all_tasks_blocked()
    assert shown(stage.manager) == {"b": ["b"], "a": []}
    old.let_go()
    assert [(await change.wait_outcome()).kind for change in (first, second)] == [OutcomeKind.APPLIED] * 2
    assert shown(stage.manager) == {"b": ["c"], "a": ["new"]}


@pytest.mark.parametrize(
    ("workflows", "delete", "problem"),
    [
        (["a", "a", "b"], [], "workflow 'a' is defined 2 times"),
        (["a", "b"], ["b"], "workflow 'b' is defined and deleted at once"),
    ],
)
async def test_sets_that_contradict_themselves_are_refused(
    stage: Stage, workflows: Sequence[str], delete: Sequence[str], problem: str
) -> None:
    contradiction = WorkflowSet(tuple(definition(name) for name in workflows), tuple(delete))
    for ask in (stage.manager.plan_all, stage.manager.apply_all):
        with pytest.raises(SetConflict) as refused:
            ask(contradiction)
        assert refused.value.problems == (problem,)
    assert not stage.manager.names()


async def test_a_plan_says_what_is_done_and_does_nothing(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a"], "b": ["recorder:b"], "c": ["recorder:c"]})
    before = statuses(stage.manager)
    plan = stage.manager.plan_all(wanted({"d": ["recorder:d"], "a": ["recorder:a"], "b": ["recorder:n"]}, "c", "x"))
    assert [(one.workflow, one.created, one.changed) for one in plan.workflows] == [
        ("d", True, True),
        ("a", False, False),
        ("b", False, True),
    ]
    assert plan.deleted == ("c",)
    assert [(cut.workflow, cut.step_type) for cut in plan.cuts] == [("b", "recorder"), ("c", "recorder")]
    assert plan.changed
    assert statuses(stage.manager) == before


async def test_no_set_is_taken_once_all_is_being_stopped(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a"]})
    change = submit(stage, {"a": [], "b": ["recorder:b waits"]})
    await wait_all_tasks_blocked()
    await stage.manager.stop_all()
    assert (await change.wait_outcome()).kind is OutcomeKind.STOPPED
    with pytest.raises(Stopping):
        submit(stage, {})
    assert stage.bench.running == []
