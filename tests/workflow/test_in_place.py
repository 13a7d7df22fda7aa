"""Changes in place, with toy steps: a running step takes other parameters in the swap, or nothing happens."""

import pytest
import trio
from structlog.typing import EventDict

from mmids_trio.definitions import step_ids
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.workflow.change import ROLLED_BACK, Change
from mmids_trio.workflow.events import StepChanged
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.pipeline import SharedServices
from mmids_trio.workflow.plan import WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, ParameterChange, PlanView
from tests.support.managed import Stage
from tests.support.numbered_events import Footage
from tests.support.toy_steps import Bench, definition

S, A, B = "source:s", "recorder:a", "recorder:b"


def ids(*steps: str) -> tuple[str, ...]:
    return step_ids(definition("w", *steps).steps)


def shown(stage: Stage) -> tuple[str, ...]:
    status = stage.manager.status("w")
    assert status is not None
    return tuple(step.step_id for step in status.active_steps)


async def test_a_running_step_takes_other_parameters_and_another_id(stage: Stage) -> None:
    await stage.run(S, f"{A} tune=1", B)
    before = list(stage.bench.built)
    change = stage.submit(S, f"{A} tune=2", B, in_place=True)
    step = change.plan.steps[1]
    assert (step.action, step.step_id_before, step.step_id) == ("change", ids(f"{A} tune=1")[0], ids(f"{A} tune=2")[0])
    assert step.changes == (ParameterChange("tune", "1", "2"),)
    assert [each.action for each in change.plan.steps] == ["keep", "change", "keep"]
    assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
    assert stage.bench.built == before
    assert stage.bench["a"].tune == "2"
    assert shown(stage) == ids(S, f"{A} tune=2", B)
    again = stage.submit(S, f"{A} tune=2", B)
    assert not again.plan.changed


async def test_without_being_asked_for_the_step_is_replaced(stage: Stage) -> None:
    await stage.run(S, f"{A} tune=1")
    former = stage.bench["a"]
    assert [step.action for step in stage.submit(S, f"{A} tune=2").plan.steps] == ["keep", "stop", "start"]
    await stage.run(S, f"{A} tune=2")
    assert stage.bench["a"] is not former
    assert not former.is_running


async def test_what_the_server_does_by_default_may_be_switched_off(stage: Stage) -> None:
    stage.manager.changes_in_place = True
    await stage.run(f"{A} tune=1")
    former = stage.bench["a"]
    await stage.run(f"{A} tune=2")
    assert stage.bench["a"] is former
    await stage.apply(f"{A} tune=3", in_place=False)
    assert stage.bench["a"] is not former


async def test_what_else_differs_makes_another_step(stage: Stage) -> None:
    await stage.run(S, f"{A} tune=1")
    plan = stage.submit(S, f"{B} tune=2", in_place=True).plan
    assert [step.action for step in plan.steps] == ["keep", "stop", "start"]


async def test_of_steps_that_may_become_each_other_each_takes_one_place(stage: Stage) -> None:
    await stage.run("recorder:x tune=1", "recorder:x tune=2")
    one, other = stage.bench.built
    await stage.apply("recorder:x tune=3", "recorder:x tune=4", "recorder:x tune=5", in_place=True)
    assert (one.tune, other.tune) == ("3", "4")
    assert [step.tune for step in stage.bench.built] == ["3", "4", "5"]


async def test_nothing_is_drained_and_no_frame_is_touched(stage: Stage) -> None:
    await stage.run(S, f"{A} tune=1", "stuck:m")
    footage = Footage()
    await stage.bench.send("s", [*footage.start(), *footage.frames(5)])
    assert (await stage.apply(S, f"{A} tune=2", "stuck:m", in_place=True)).kind is OutcomeKind.APPLIED
    await stage.bench.send("s", footage.frames(5))
    await trio.testing.wait_all_tasks_blocked()
    assert len(stage.bench["a"].frames()) == 10


async def test_a_step_may_change_and_move_at_once(stage: Stage) -> None:
    await stage.run(S, f"{A} tune=1", B)
    built = list(stage.bench.built)
    assert (await stage.apply(S, B, f"{A} tune=2", in_place=True)).kind is OutcomeKind.APPLIED
    assert stage.bench.built == built
    assert shown(stage) == ids(S, B, f"{A} tune=2")
    footage = Footage()
    await stage.bench.send("s", [*footage.start(), *footage.frames(3)])
    await trio.testing.wait_all_tasks_blocked()
    assert len(stage.bench["a"].frames()) == len(stage.bench["b"].frames()) == 3


@pytest.mark.parametrize("rollback", [False, True])
@pytest.mark.parametrize(
    ("tune", "reason"), [("refused", "a refuses its tune"), ("crashing", "RuntimeError: a crashes")]
)
async def test_a_step_that_refuses_or_crashes_as_it_looks_at_its_parameters_goes_on_as_it_is(
    stage: Stage, tune: str, reason: str, rollback: bool
) -> None:
    await stage.run(S, f"{A} tune=1")
    outcome = await stage.apply(S, f"{A} tune={tune}", B, rollback=rollback, in_place=True)
    assert outcome == Outcome(OutcomeKind.ROLLED_BACK, ROLLED_BACK.prefix + reason)
    assert [step.label for step in stage.bench.built] == ["s", "a"]  # nothing new has begun
    assert (stage.bench["a"].tune, stage.bench["a"].concluded) == ("1", [])
    assert shown(stage) == ids(S, f"{A} tune=1")
    assert stage.bench.running == ["a", "s"]


async def test_where_one_cannot_all_others_take_back_what_they_took(stage: Stage) -> None:
    await stage.run(f"{A} tune=1")
    await stage.run(f"{B} tune=1", name="v")
    definitions = (definition("w", f"{A} tune=2"), definition("v", f"{B} tune=broken", "recorder:c"))
    outcome = await stage.manager.apply_all(WorkflowSet(definitions, in_place=True)).wait_outcome()
    assert outcome == Outcome(OutcomeKind.ROLLED_BACK, ROLLED_BACK.prefix + "RuntimeError: b breaks")
    assert [(step.tune, step.concluded) for step in (stage.bench["a"], stage.bench["b"])] == [("1", []), ("1", [])]
    assert shown(stage) == ids(f"{A} tune=1")
    assert stage.bench.running == ["a", "b"]
    assert (await stage.apply(f"{A} tune=2", in_place=True)).kind is OutcomeKind.APPLIED


async def test_a_new_step_that_fails_leaves_the_others_as_they_are_with_rollback(stage: Stage) -> None:
    await stage.run(f"{A} tune=1")
    outcome = await stage.apply(f"{A} tune=2", "recorder:f refuses", rollback=True, in_place=True)
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert (stage.bench["a"].tune, shown(stage)) == ("1", ids(f"{A} tune=1"))


async def test_without_rollback_it_puts_the_workflow_in_error_under_the_new_definition(stage: Stage) -> None:
    await stage.run(f"{A} tune=1")
    outcome = await stage.apply(f"{A} tune=2", "recorder:f refuses", in_place=True)
    assert outcome.kind is OutcomeKind.FAILED
    assert shown(stage) == ids(f"{A} tune=2", "recorder:f refuses")
    assert stage.bench.running == []


async def test_a_newer_change_supersedes_one_that_still_waits_and_nothing_of_it_is_left(stage: Stage) -> None:
    await stage.run(f"{A} tune=1")
    older = stage.submit(f"{A} tune=2", "recorder:c waits", in_place=True)
    await trio.testing.wait_all_tasks_blocked()
    status = stage.manager.status("w")
    assert status is not None
    assert [step.step_id for step in status.pending_steps] == list(ids(f"{A} tune=2", "recorder:c waits"))
    assert [step.status for step in status.pending_steps] == ["Active", "Created"]
    assert (await stage.apply(f"{A} tune=3", in_place=True)).kind is OutcomeKind.APPLIED
    assert (await older.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (stage.bench["a"].tune, stage.bench["a"].concluded) == ("3", ["3"])


async def test_clients_are_cut_after_the_last_moment_in_which_anything_could_be_taken_back(
    stage: Stage, logs: list[EventDict]
) -> None:
    await stage.run(f"{A} tune=1")
    step = stage.bench["a"]
    step.concluded = Failing()
    assert (await stage.apply(f"{A} tune=2", in_place=True)).kind is OutcomeKind.APPLIED
    assert (step.tune, shown(stage)) == ("2", ids(f"{A} tune=2"))
    assert "step could not part with its clients" in [line["event"] for line in logs]


class Failing(list[str | None]):
    """Takes nothing."""

    def append(self, value: str | None) -> None:
        raise RuntimeError(value)


async def test_whoever_follows_events_hears_of_the_new_id(nursery: trio.Nursery) -> None:
    hub = EventHub()
    bench = Bench()
    manager = WorkflowManager(bench, SharedServices(hub=hub))
    await nursery.start(manager.run)
    stage = Stage(bench, manager)
    await stage.run(f"{A} tune=1")
    with hub.subscribe() as events:
        await stage.apply(f"{A} tune=2", in_place=True)
    [before], [after] = ids(f"{A} tune=1"), ids(f"{A} tune=2")
    assert events.take() == [StepChanged("w", after, before, "recorder")]


async def changes_in_place(bench: Bench, changes: list[Change[PlanView]]) -> None:
    """A life of a workflow with all that a change in place may meet."""
    manager = WorkflowManager(bench)
    async with trio.open_nursery() as nursery:
        await nursery.start(manager.run)
        await trio.lowlevel.checkpoint_if_cancelled()
        stage = Stage(bench, manager)
        for steps in (
            [S, f"{A} tune=1", B],
            [S, f"{A} tune=2", B],
            [S, f"{A} tune=broken", f"{B} tune=1"],
            [S, f"{A} tune=refused", "recorder:c"],
            [S, "recorder:c", f"{A} tune=3"],
        ):
            changes.append(stage.submit(*steps, in_place=True, rollback=True))
            await changes[-1].wait_outcome()
        await manager.stop("w")
        nursery.cancel_scope.cancel()


@pytest.mark.thorough
async def test_it_may_be_cancelled_anywhere_and_then_each_step_has_all_of_a_change_or_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench, changes = Bench(), list[Change[PlanView]]()

    async def once() -> None:
        bench.built.clear()
        changes.clear()
        await changes_in_place(bench, changes)

    def check() -> None:
        assert bench.running == []
        applied = [change.outcome is not None and change.outcome.kind is OutcomeKind.APPLIED for change in changes]
        for step in bench.built:
            if step.label == "a":
                assert step.tune == (step.concluded or ["1"])[-1]
                assert step.concluded in ([], ["2"], ["2", "3"])
                assert len(step.concluded) >= sum(applied[1:])
            elif step.label == "b":
                assert (step.tune, step.concluded) == (None, [])

    assert await cancel_everywhere(once, check) > 20
