"""Random sets of workflows, with failures, single changes and ends in between, under random schedules of tasks.

A simple model says what must run, and whose it is: a set that is applied has put all of its workflows in place, which
are its owner's then; any other set has done nothing. One that names what somebody else has is refused, unless it may
take that over.
Steps that are tuned may change in place, where they run already.
Where sets come one by one, it also says which of them there is no place for: those after which two workflows would have
one key.
"""

from collections.abc import Sequence
from functools import partial

import trio
from attrs import Factory, define, evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio._core._run import _r as scheduler
from trio.testing import MockClock

from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import OwnedByOthers, SetPlan, WorkflowSet
from mmids_trio.workflow.status import BY_API, OutcomeKind, PlanView, StepStatus, WorkflowOwner, of_set
from tests.support.claims import ClaimingBench
from tests.support.effort import some_of
from tests.support.managed import Stage
from tests.support.toy_sets import statuses
from tests.support.toy_steps import ToyStep, definition

NAMES = "abcd"
REST = 5.0
"""Seconds, of virtual time, in which everything has come to rest."""

STEPS = ["source:s", "recorder:k", "recorder:l", "slow:m", "stuck:n"]
KEYS = "xyz"
TUNES = ["", "", "", " tune=1", " tune=2", " tune=broken", " tune=refused"]
REFUSING = "recorder:f refuses"

Workflows = dict[str, list[str]]
Owners = dict[str, WorkflowOwner]
Action = tuple[str, object]


@frozen
class Asked:
    """A set that somebody asks for."""

    workflows: Workflows
    delete: list[str]
    owner: WorkflowOwner
    take_over: bool

    @property
    def wanted(self) -> WorkflowSet:
        definitions = tuple(definition(name, *steps) for name, steps in self.workflows.items())
        return WorkflowSet(definitions, tuple(self.delete), owner=self.owner, take_over=self.take_over)

    def submit(self, manager: WorkflowManager) -> Change[SetPlan] | None:
        """Hand it over; `None` where it is refused, which is where somebody else has something of it."""
        named = [owner for name in (*self.workflows, *self.delete) if (owner := manager.owner(name)) is not None]
        is_foreign = not self.take_over and any(owner != self.owner for owner in named)
        try:
            change = manager.apply_all(self.wanted)
        except OwnedByOthers:
            assert is_foreign
            return None
        assert not is_foreign
        return change


OWNERS = st.sampled_from([of_set("default"), of_set("team")])


def sets() -> st.SearchStrategy[Asked]:
    pool = st.sampled_from([*STEPS, *(f"claim:{key}" for key in KEYS)])
    steps = st.lists(st.tuples(pool, st.sampled_from(TUNES)), unique_by=lambda both: both[0], max_size=4).map(
        lambda chain: [step if step.startswith("claim") else step + tune for step, tune in chain]
    )
    workflows = st.dictionaries(st.sampled_from(NAMES), steps, max_size=4)
    deleted = st.lists(st.sampled_from(NAMES), unique=True, max_size=2)
    return st.builds(
        lambda defined, gone, owner, take_over: Asked(
            defined, [name for name in gone if name not in defined], owner, take_over
        ),
        workflows,
        deleted,
        OWNERS,
        st.booleans(),
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
    asked: list[tuple[Change[SetPlan] | Change[PlanView], Asked]] = Factory(list)

    async def act(self, verb: str, what: object) -> None:
        match verb, what:
            case "set", Asked() as asked:
                self._submit(asked)
            case "set that fails", Asked(workflows=workflows) as asked:
                last = next(reversed(workflows), None)
                failing = {name: [*steps, REFUSING] if name == last else steps for name, steps in workflows.items()}
                self._submit(evolve(asked, workflows=failing))
            case "change", (str(name), list(steps)):
                change = self.stage.submit(*steps, name=name)
                self.asked.append((change, Asked({name: steps}, [], BY_API, take_over=False)))
            case "stop", str(name):
                self.nursery.start_soon(self.stage.manager.stop, name)
                await trio.lowlevel.checkpoint()
            case "rest", _:
                await trio.sleep(REST)
            case _:
                await trio.lowlevel.checkpoint()

    def _submit(self, asked: Asked) -> None:
        change = asked.submit(self.stage.manager)
        if change is not None:
            self.asked.append((change, asked))

    async def model(self) -> tuple[Workflows, Owners]:
        """What must run after sets alone, and whose it must be."""
        model: Workflows = {}
        owners: Owners = {}
        for change, asked in self.asked:
            outcome = await change.wait_outcome()
            if outcome.kind is OutcomeKind.APPLIED:
                assert not any(REFUSING in steps for steps in asked.workflows.values())
                model, owners = result(model, owners, asked)
            else:
                assert outcome.kind in (OutcomeKind.ROLLED_BACK, OutcomeKind.SUPERSEDED)
        return model, owners


def result(model: Workflows, owners: Owners, asked: Asked) -> tuple[Workflows, Owners]:
    """What runs after a set, and whose it is."""
    running = {name: steps for name, steps in (model | asked.workflows).items() if name not in asked.delete}
    of_all = owners | dict.fromkeys(asked.workflows, asked.owner)
    return running, {name: of_all[name] for name in running}


def holders(model: Workflows) -> list[tuple[str, str]]:
    """Who has which key, by a model: each of its claims."""
    claims = [(step.split(":")[1], name) for name, steps in model.items() for step in steps if step.startswith("claim")]
    return sorted(claims)


async def play(script: Sequence[Action], *, single: bool, in_place: bool) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    bench = ClaimingBench()
    async with trio.open_nursery() as nursery:
        manager = WorkflowManager(bench)
        manager.changes_in_place = in_place
        await nursery.start(manager.run)
        playing = Play(Stage(bench, manager), nursery)
        for verb, what in script:
            await playing.act(verb, what)
        await trio.sleep(REST)
        running = at_rest(manager)
        if not single:
            assert (running, owners_of(manager)) == await playing.model()
        assert holders(running) == sorted(bench.holders(KEYS).items())
        steps = [step for steps in running.values() for step in steps if not step.startswith("claim")]
        assert sorted(steps) == sorted(described(step) for step in bench.built if step.is_running)
        for change, _ in playing.asked:
            with trio.fail_after(0.1):
                await change.wait_outcome()
        await manager.stop_all()
        assert bench.running == []
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before


def owners_of(manager: WorkflowManager) -> Owners:
    """Whose the workflows are."""
    return {name: owner for name in manager.names() if (owner := manager.owner(name)) is not None}


def at_rest(manager: WorkflowManager) -> Workflows:
    """The steps of all workflows, of which none is being changed."""
    known = {name: status for name, status in statuses(manager).items() if status is not None}
    assert not any(status.pending_steps for status in known.values())
    return {name: [as_written(step) for step in status.active_steps] for name, status in known.items()}


def as_written(step: StepStatus) -> str:
    """What is shown of a step, in words of the script."""
    tune = step.parameters.get("tune")
    return f"{step.step_type}:{step.parameters['label']}" + (f" tune={tune}" if tune else "")


def described(step: ToyStep) -> str:
    """What a step has itself, in the same words."""
    return f"{step.kind}:{step.label}" + (f" tune={step.tune}" if step.tune else "")


def rehearse(script: Sequence[Action], seed: int, *, single: bool, in_place: bool) -> None:
    """Play a script under one schedule of tasks."""
    scheduler.seed(seed)
    with capture_logs():
        trio.run(partial(play, script, single=single, in_place=in_place), clock=MockClock(autojump_threshold=0))


@settings(max_examples=some_of(150), deadline=None)
@given(scripts(single=False), st.integers(0, 2**32), st.booleans())
def test_a_set_is_put_in_place_whole_or_not_at_all(script: list[Action], seed: int, in_place: bool) -> None:
    rehearse(script, seed, single=False, in_place=in_place)


@settings(max_examples=some_of(150), deadline=None)
@given(scripts(single=True), st.integers(0, 2**32), st.booleans())
def test_sets_single_changes_and_ends_leave_nothing_half_done(script: list[Action], seed: int, in_place: bool) -> None:
    rehearse(script, seed, single=True, in_place=in_place)


async def play_one_by_one(script: Sequence[Asked]) -> None:
    bench = ClaimingBench()
    async with trio.open_nursery() as nursery:
        manager = WorkflowManager(bench)
        await nursery.start(manager.run)
        model: Workflows = {}
        owners: Owners = {}
        for asked in script:
            change = asked.submit(manager)
            if change is not None:
                outcome = await change.wait_outcome()
                wanted, of_all = result(model, owners, asked)
                has_place = len(dict(holders(wanted))) == len(holders(wanted))
                assert outcome.kind is (OutcomeKind.APPLIED if has_place else OutcomeKind.ROLLED_BACK), outcome
                model, owners = (wanted, of_all) if has_place else (model, owners)
            assert (at_rest(manager), owners_of(manager)) == (model, owners)
            assert dict(holders(model)) == bench.holders(KEYS)
        nursery.cancel_scope.cancel()


@settings(max_examples=some_of(150), deadline=None)
@given(st.lists(sets(), max_size=12), st.integers(0, 2**32))
def test_keys_go_wherever_a_set_says_and_only_there(script: list[Asked], seed: int) -> None:
    scheduler.seed(seed)
    with capture_logs():
        trio.run(play_one_by_one, script, clock=MockClock(autojump_threshold=0))
