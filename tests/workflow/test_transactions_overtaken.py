"""Sets of workflows that are overtaken, stopped or cancelled at whatever moment."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import Factory, define
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetPlan
from mmids_trio.workflow.status import OutcomeKind, PlanView
from tests.support.managed import Stage
from tests.support.numbered_events import Footage
from tests.support.toy_sets import apply, run, shown, statuses, submit
from tests.support.toy_steps import Bench

BEFORE = {"a": ["source:s", "recorder:a"], "b": ["source:t", "stuck:m", "recorder:b"], "c": ["recorder:c"]}
STARTING = {"a": ["source:s", "recorder:n waits"], "b": ["source:t"], "c": ["recorder:c"], "d": ["recorder:d"]}
SETTLING = {"a": ["source:s", "recorder:n"], "b": ["source:t", "recorder:b"], "c": ["recorder:c"], "d": ["recorder:d"]}


@pytest.fixture(params=[STARTING, SETTLING], ids=["starting", "settling"])
async def under_way(request: pytest.FixtureRequest, stage: Stage) -> Change[SetPlan]:
    """A set that is not swapped yet, and will not be by itself: the clock of who uses this stands still."""
    await run(stage, BEFORE)
    await stage.bench.send("t", Footage().start())
    await wait_all_tasks_blocked()
    change = submit(stage, request.param)
    await wait_all_tasks_blocked()
    assert change.outcome is None
    return change


@pytest.mark.parametrize("name", "abcd")
async def test_a_newer_update_of_any_workflow_takes_all_of_a_set_back(
    stage: Stage, under_way: Change[SetPlan], name: str, mock_clock: MockClock
) -> None:
    newer = stage.submit("recorder:x", name=name)
    assert (await under_way.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (await under_way.wait_outcome()).message == f"superseded by a newer update of workflow '{name}'"
    if name == "b":
        return  # its stuck step has to come to rest, for which the clock would have to go on
    assert (await newer.wait_outcome()).kind is OutcomeKind.APPLIED
    assert shown(stage.manager) == {"a": ["s", "a"], "b": ["t", "m", "b"], "c": ["c"], name: ["x"]}


@pytest.mark.parametrize("name", "abcd")
async def test_the_end_of_any_workflow_takes_all_of_a_set_back(
    stage: Stage, under_way: Change[SetPlan], name: str, mock_clock: MockClock
) -> None:
    await stage.manager.stop(name)
    outcome = await under_way.wait_outcome()
    assert (outcome.kind, outcome.message) == (
        OutcomeKind.SUPERSEDED,
        f"superseded by the end of workflow '{name}'",
    )
    left = {"a": ["s", "a"], "b": ["t", "m", "b"], "c": ["c"]}
    assert shown(stage.manager) == {one: steps for one, steps in left.items() if one != name}


async def test_a_newer_set_takes_the_place_of_one_that_shares_a_workflow(
    stage: Stage, under_way: Change[SetPlan], mock_clock: MockClock
) -> None:
    newer = submit(stage, {"c": ["recorder:y"], "d": ["recorder:x"]})
    assert (await under_way.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (await newer.wait_outcome()).kind is OutcomeKind.APPLIED
    assert shown(stage.manager) == {"a": ["s", "a"], "b": ["t", "m", "b"], "c": ["y"], "d": ["x"]}


async def test_a_set_that_shares_nothing_goes_its_own_way(
    stage: Stage, under_way: Change[SetPlan], mock_clock: MockClock
) -> None:
    await run(stage, {"x": ["recorder:x"]})
    assert under_way.outcome is None


async def test_stopping_everything_stops_a_set(stage: Stage, under_way: Change[SetPlan], mock_clock: MockClock) -> None:
    await stage.manager.stop_all()
    assert (await under_way.wait_outcome()).kind is OutcomeKind.STOPPED
    assert (stage.bench.running, shown(stage.manager)) == ([], {})


async def test_what_comes_after_the_swap_waits_for_its_turn(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": ["recorder:b lingers"], "c": []})
    first = submit(stage, {"a": ["recorder:x"], "b": [], "c": ["recorder:c"]})
    await wait_all_tasks_blocked()
    second = submit(stage, {"a": ["recorder:y"], "c": ["recorder:z"]})
    await wait_all_tasks_blocked()
    assert shown(stage.manager) == {"a": ["x"], "b": [], "c": ["c"]}
    for label in "ab":
        stage.bench[label].let_go()
    assert [(await change.wait_outcome()).kind for change in (first, second)] == [OutcomeKind.APPLIED] * 2
    assert shown(stage.manager) == {"a": ["y"], "b": [], "c": ["z"]}


async def test_a_set_waits_for_the_change_that_a_workflow_is_in_the_middle_of(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": []})
    before = stage.submit("recorder:x", name="a")
    await wait_all_tasks_blocked()
    change = submit(stage, {"a": ["recorder:x", "recorder:y"], "b": ["recorder:b"], "new": ["recorder:z"]})
    await wait_all_tasks_blocked()
    assert shown(stage.manager) == {"a": ["x"], "b": [], "new": []}
    stage.bench["a"].let_go()
    assert [(await one.wait_outcome()).kind for one in (before, change)] == [OutcomeKind.APPLIED] * 2
    assert shown(stage.manager) == {"a": ["x", "y"], "b": ["b"], "new": ["z"]}


async def test_a_set_supersedes_changes_that_wait_and_a_failed_one_does_not_bring_them_back(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a"]})
    before = stage.submit("recorder:x waits", name="a")
    fresh = stage.submit("recorder:y waits", name="b")
    await wait_all_tasks_blocked()
    outcome = await apply(stage, {"a": [], "b": [], "c": ["recorder:c refuses"]})
    assert outcome.kind is OutcomeKind.ROLLED_BACK
    assert [(await change.wait_outcome()).kind for change in (before, fresh)] == [OutcomeKind.SUPERSEDED] * 2
    assert shown(stage.manager) == {"a": ["a"]}
    assert stage.bench.running == ["a"]


async def test_a_newer_change_waits_until_all_of_a_superseded_set_is_taken_back(stage: Stage) -> None:
    await run(stage, {"a": [], "b": []})
    first = submit(stage, {"a": ["recorder:n lingers"], "b": ["recorder:w waits"]})
    await wait_all_tasks_blocked()
    second = stage.submit("recorder:x", name="b")
    await wait_all_tasks_blocked()
    assert stage.bench.running == ["n"]  # it may still hold what the newer change wants
    stage.bench["n"].let_go()
    assert (await first.wait_outcome()).kind is OutcomeKind.SUPERSEDED
    assert (await second.wait_outcome()).kind is OutcomeKind.APPLIED
    assert shown(stage.manager) == {"a": [], "b": ["x"]}


async def test_a_newer_set_begins_nothing_before_all_of_a_superseded_one_is_taken_back(stage: Stage) -> None:
    """Also where they share but a workflow that both leave as it is, whose task waits for nothing."""
    same = {"a": ["recorder:a"]}
    await run(stage, same)
    first = submit(stage, {**same, "b": ["recorder:n lingers", "recorder:w waits"]})
    await wait_all_tasks_blocked()
    second = submit(stage, {**same, "c": ["recorder:c"]})
    await wait_all_tasks_blocked()
    meanwhile = stage.bench.running
    stage.bench["n"].let_go()
    assert meanwhile == ["a", "n"]  # n might still have held what c wanted
    assert [(await change.wait_outcome()).kind for change in (first, second)] == [
        OutcomeKind.SUPERSEDED,
        OutcomeKind.APPLIED,
    ]
    assert shown(stage.manager) == {"a": ["a"], "c": ["c"]}


async def test_a_set_that_is_superseded_while_it_waits_for_an_older_one_ends_no_sooner(stage: Stage) -> None:
    same = {"a": ["recorder:a"]}
    await run(stage, same)
    changes = [submit(stage, {**same, "b": ["recorder:n lingers", "recorder:w waits"]})]
    await wait_all_tasks_blocked()
    for name in "cd":
        changes.append(submit(stage, {**same, name: [f"recorder:{name}"]}))
        await wait_all_tasks_blocked()
    meanwhile = stage.bench.running, [change.outcome for change in changes]
    stage.bench["n"].let_go()
    assert meanwhile == (["a", "n"], [None] * 3)  # n might still have held what d wanted
    kinds = [(await change.wait_outcome()).kind for change in changes]
    assert kinds == [OutcomeKind.SUPERSEDED, OutcomeKind.SUPERSEDED, OutcomeKind.APPLIED]
    assert shown(stage.manager) == {"a": ["a"], "d": ["d"]}


async def test_a_creation_that_waits_for_its_predecessor_is_withdrawn_with_its_set(stage: Stage) -> None:
    await run(stage, {"a": ["recorder:a lingers"], "b": []})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.manager.stop, "a")
        await wait_all_tasks_blocked()
        change = submit(stage, {"a": ["recorder:n"], "b": ["recorder:m"]})
        await wait_all_tasks_blocked()
        newer = stage.submit("recorder:x", name="b")
        assert (await change.wait_outcome()).kind is OutcomeKind.SUPERSEDED
        assert (await newer.wait_outcome()).kind is OutcomeKind.APPLIED
        assert shown(stage.manager) == {"b": ["x"]}
        stage.bench["a"].let_go()


@define
class Life:
    """One life of a manager, from its start to its end."""

    bench: Bench = Factory(Bench)
    changes: list[Change[SetPlan] | Change[PlanView]] = Factory(list)
    stage: Stage = Factory(lambda self: Stage(self.bench, WorkflowManager(self.bench)), takes_self=True)

    def submit(self, workflows: dict[str, list[str]], *delete: str) -> Change[SetPlan]:
        change = submit(self.stage, workflows, *delete)
        self.changes.append(change)
        return change

    async def live(self, script: "Callable[[Life], Awaitable[None]]") -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.stage.manager.run)
            await trio.lowlevel.checkpoint_if_cancelled()  # what was started may have ended with that
            try:
                await script(self)
            except RuntimeError:
                await trio.lowlevel.checkpoint_if_cancelled()  # the manager may have heard of it, and ended, first
                raise
            nursery.cancel_scope.cancel()

    def check(self) -> None:
        assert self.bench.running == []
        assert all(change.outcome is not None for change in self.changes)
        assert not statuses(self.stage.manager)


async def swapping(life: Life) -> None:
    await life.submit({"a": ["source:s", "slow:m", "recorder:a"], "b": ["recorder:b"]}).wait_outcome()
    footage = Footage()
    await life.bench.send("s", [*footage.start(), *footage.frames(3)])
    await life.submit({"a": ["source:s", "recorder:a", "slow:m"], "c": ["recorder:c reserves"]}, "b").wait_outcome()


async def failing(life: Life) -> None:
    await life.submit({"a": ["recorder:a"], "b": ["recorder:b"]}).wait_outcome()
    await life.submit({"a": [], "c": ["recorder:c"], "d": ["recorder:d refuses"]}, "b").wait_outcome()
    await life.stage.manager.stop_all()


async def overtaking(life: Life) -> None:
    life.submit({"a": ["recorder:a waits"], "b": ["recorder:b"]})
    await trio.testing.wait_all_tasks_blocked()
    life.submit({"b": ["recorder:c"], "c": []})
    life.submit({"a": ["recorder:a"]})
    await life.stage.manager.stop("b")
    await life.changes[-1].wait_outcome()


@pytest.mark.thorough
@pytest.mark.parametrize("script", [swapping, failing, overtaking])
async def test_sets_cancelled_anywhere_leave_nothing(
    script: Callable[[Life], Awaitable[None]], autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    life = Life()

    async def once() -> None:
        nonlocal life
        life = Life()
        await life.live(script)

    def check() -> None:
        life.check()
        assert trio.lowlevel.current_statistics().tasks_living == before

    assert await cancel_everywhere(once, check) > 20
