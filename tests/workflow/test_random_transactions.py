"""Random sets of workflows, with failures, single changes and ends in between, under random schedules of tasks.

A simple model says what must run: a set that is applied has put all of its workflows in place, any other set nothing.
Where sets come one by one, it also says which of them there is no place for: those after which two workflows would have
one key.
"""

from collections.abc import Sequence
from functools import partial

import trio
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio._core._run import _r as scheduler
from trio.testing import MockClock

from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetPlan, WorkflowSet
from mmids_trio.workflow.status import OutcomeKind, PlanView
from tests.support.claims import ClaimingBench
from tests.support.managed import Stage
from tests.support.toy_sets import statuses
from tests.support.toy_steps import definition

NAMES = "abcd"
REST = 5.0
"""Seconds, of virtual time, in which everything has come to rest."""

STEPS = ["source:s", "recorder:k", "recorder:l", "slow:m", "stuck:n"]
KEYS = "xyz"
REFUSING = "recorder:f refuses"

Workflows = dict[str, list[str]]
Action = tuple[str, object]


def sets() -> st.SearchStrategy[tuple[Workflows, list[str]]]:
    steps = st.lists(st.sampled_from([*STEPS, *(f"claim:{key}" for key in KEYS)]), unique=True, max_size=4)
    workflows = st.dictionaries(st.sampled_from(NAMES), steps, max_size=4)
    return st.tuples(workflows, st.lists(st.sampled_from(NAMES), unique=True, max_size=2)).map(
        lambda both: (both[0], [name for name in both[1] if name not in both[0]])
    )


def scripts(*, single: bool) -> st.SearchStrategy[list[Action]]:
    actions = [
        st.tuples(st.just("set"), sets()),
        st.tuples(st.just("set that fails"), sets()),
        st.tuples(st.sampled_from(["rest", "yield"]), st.none()),
    ]
    if single:
        steps = st.lists(st.sampled_from(STEPS), unique=True, max_size=4)
        actions.append(st.tuples(st.just("change"), st.tuples(st.sampled_from(NAMES), steps)))
        actions.append(st.tuples(st.just("stop"), st.sampled_from(NAMES)))
    return st.lists(st.one_of(actions), max_size=20)


@define
class Play:
    """A script at work, and the model of it."""

    stage: Stage
    nursery: trio.Nursery
    asked: list[tuple[Change[SetPlan] | Change[PlanView], Workflows, list[str]]] = Factory(list)

    async def act(self, verb: str, what: object) -> None:
        match verb, what:
            case "set", (dict(workflows), list(delete)):
                self._submit(workflows, delete)
            case "set that fails", (dict(workflows), list(delete)):
                last = next(reversed(workflows), None)
                failing = {name: [*steps, REFUSING] if name == last else steps for name, steps in workflows.items()}
                self._submit(failing, delete)
            case "change", (str(name), list(steps)):
                change = self.stage.submit(*steps, name=name)
                self.asked.append((change, {name: steps}, []))
            case "stop", str(name):
                self.nursery.start_soon(self.stage.manager.stop, name)
                await trio.lowlevel.checkpoint()
            case "rest", _:
                await trio.sleep(REST)
            case _:
                await trio.lowlevel.checkpoint()

    def _submit(self, workflows: Workflows, delete: list[str]) -> None:
        definitions = tuple(definition(name, *steps) for name, steps in workflows.items())
        change = self.stage.manager.apply_all(WorkflowSet(definitions, tuple(delete)))
        self.asked.append((change, workflows, delete))

    async def model(self) -> Workflows:
        """What must run after sets alone."""
        model: Workflows = {}
        for change, workflows, delete in self.asked:
            outcome = await change.wait_outcome()
            if outcome.kind is OutcomeKind.APPLIED:
                assert not any(REFUSING in steps for steps in workflows.values())
                model = result(model, workflows, delete)
            else:
                assert outcome.kind in (OutcomeKind.ROLLED_BACK, OutcomeKind.SUPERSEDED)
        return model


def result(model: Workflows, workflows: Workflows, delete: Sequence[str]) -> Workflows:
    """What runs after a set."""
    return {name: steps for name, steps in (model | workflows).items() if name not in delete}


def holders(model: Workflows) -> list[tuple[str, str]]:
    """Who has which key, by a model: each of its claims."""
    claims = [(step.split(":")[1], name) for name, steps in model.items() for step in steps if step.startswith("claim")]
    return sorted(claims)


async def play(script: Sequence[Action], *, single: bool) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    bench = ClaimingBench()
    async with trio.open_nursery() as nursery:
        manager = WorkflowManager(bench)
        await nursery.start(manager.run)
        playing = Play(Stage(bench, manager), nursery)
        for verb, what in script:
            await playing.act(verb, what)
        await trio.sleep(REST)
        running = at_rest(manager)
        if not single:
            assert running == await playing.model()
        assert holders(running) == sorted(bench.holders(KEYS).items())
        labels = (step.split(":") for steps in running.values() for step in steps)
        assert sorted(label for kind, label in labels if kind != "claim") == bench.running
        for change, _, _ in playing.asked:
            with trio.fail_after(0.1):
                await change.wait_outcome()
        await manager.stop_all()
        assert bench.running == []
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before


def at_rest(manager: WorkflowManager) -> Workflows:
    """The steps of all workflows, of which none is being changed."""
    known = {name: status for name, status in statuses(manager).items() if status is not None}
    assert not any(status.pending_steps for status in known.values())
    return {
        name: [f"{step.step_type}:{step.parameters['label']}" for step in status.active_steps]
        for name, status in known.items()
    }


def rehearse(script: Sequence[Action], seed: int, *, single: bool) -> None:
    """Play a script under one schedule of tasks."""
    scheduler.seed(seed)
    with capture_logs():
        trio.run(partial(play, script, single=single), clock=MockClock(autojump_threshold=0))


@settings(max_examples=150, deadline=None)
@given(scripts(single=False), st.integers(0, 2**32))
def test_a_set_is_put_in_place_whole_or_not_at_all(script: list[Action], seed: int) -> None:
    rehearse(script, seed, single=False)


@settings(max_examples=150, deadline=None)
@given(scripts(single=True), st.integers(0, 2**32))
def test_sets_single_changes_and_ends_leave_nothing_half_done(script: list[Action], seed: int) -> None:
    rehearse(script, seed, single=True)


async def play_one_by_one(script: Sequence[tuple[Workflows, list[str]]]) -> None:
    bench = ClaimingBench()
    async with trio.open_nursery() as nursery:
        manager = WorkflowManager(bench)
        await nursery.start(manager.run)
        model: Workflows = {}
        for workflows, delete in script:
            definitions = tuple(definition(name, *steps) for name, steps in workflows.items())
            outcome = await manager.apply_all(WorkflowSet(definitions, tuple(delete))).wait_outcome()
            wanted = result(model, workflows, delete)
            has_place = len(dict(holders(wanted))) == len(holders(wanted))
            assert outcome.kind is (OutcomeKind.APPLIED if has_place else OutcomeKind.ROLLED_BACK), outcome
            model = wanted if has_place else model
            assert at_rest(manager) == model
            assert dict(holders(model)) == bench.holders(KEYS)
        nursery.cancel_scope.cancel()


@settings(max_examples=150, deadline=None)
@given(st.lists(sets(), max_size=12), st.integers(0, 2**32))
def test_keys_go_wherever_a_set_says_and_only_there(script: list[tuple[Workflows, list[str]]], seed: int) -> None:
    scheduler.seed(seed)
    with capture_logs():
        trio.run(play_one_by_one, script, clock=MockClock(autojump_threshold=0))
