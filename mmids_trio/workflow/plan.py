"""What a change does, and why not: of one workflow, or of a whole set of workflows and reactors. Pure.

Apart from the change that carries it out, so that a plan and its refusal need nothing that runs.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from attrs import evolve, field, frozen

from mmids_trio.definitions import (
    ParameterValue,
    ReactorDefinition,
    StepDefinition,
    WorkflowDefinition,
    publish_keys,
)
from mmids_trio.errors import MmidsError
from mmids_trio.masking import HIDDEN, mask_values
from mmids_trio.workflow.status import (
    BY_API,
    NO_CLIENTS,
    Clients,
    ParameterChange,
    PlannedStep,
    PlanView,
    StepAction,
    WorkflowOwner,
    WorkflowStatus,
    of_set,
)


@frozen
class WantedStep:
    """A step of the wanted sequence, with its identity."""

    step_id: str
    definition: StepDefinition


@frozen
class ChangingStep:
    """A running step that takes other parameters, and becomes the `wanted` one with that. `before`: its id so far."""

    before: str
    wanted: WantedStep


@frozen
class Plan:
    """What to keep, change, start and stop, and the new order: all of it worked out once, by `make_plan`.

    `order` is the wanted sequence of ids and `start` what of it does not run yet; `change` what of that a running step
    becomes, without being replaced.  `stop` has the ids of running steps that are not wanted any more, in running
    order.  `is_empty`: nothing is to be done, the same steps run in the same order.
    """

    wanted: tuple[WantedStep, ...]
    order: tuple[str, ...]
    start: tuple[WantedStep, ...]
    stop: tuple[str, ...]
    is_empty: bool
    change: tuple[ChangingStep, ...] = ()


@frozen
class Changeable:
    """A running step that takes other values of the parameters of these `names`."""

    definition: StepDefinition
    names: frozenset[str]

    def rest(self, definition: StepDefinition) -> tuple[str, frozenset[tuple[str, ParameterValue]]]:
        """What cannot change of a step."""
        fixed = (item for item in definition.parameters.items() if item[0] not in self.names)
        return definition.step_type, frozenset(fixed)


NOT_IN_PLACE: Mapping[str, Changeable] = {}


def make_plan(
    running: Sequence[str], wanted: WorkflowDefinition, changeable: Mapping[str, Changeable] = NOT_IN_PLACE
) -> Plan:
    """Compare the ids of the running steps, in order, with a wanted definition (canonical spellings).

    `changeable`: those that may change in place, by their ids.
    """
    order = wanted.step_ids
    steps = tuple(WantedStep(step_id, step) for step_id, step in zip(order, wanted.steps, strict=True))
    old, new = frozenset(running), frozenset(order)
    fresh = [step for step in steps if step.step_id not in old]
    gone = [step_id for step_id in running if step_id not in new]
    change = _changes_in_place(gone, fresh, changeable) if changeable else ()
    changing, becoming = {each.before for each in change}, {each.wanted.step_id for each in change}
    return Plan(
        wanted=steps,
        order=order,
        start=tuple(step for step in fresh if step.step_id not in becoming),
        stop=tuple(step_id for step_id in gone if step_id not in changing),
        is_empty=tuple(running) == order,
        change=change,
    )


def _changes_in_place(
    gone: Sequence[str], fresh: Sequence[WantedStep], changeable: Mapping[str, Changeable]
) -> tuple[ChangingStep, ...]:
    """Of the steps that would be replaced those that can become what is wanted, in the order of the latter."""
    kinds = {each.definition.step_type: each for each in changeable.values()}
    left: dict[object, deque[str]] = {}
    for step_id in gone:
        if (old := changeable.get(step_id)) is not None:
            left.setdefault(old.rest(old.definition), deque()).append(step_id)
    found: list[ChangingStep] = []
    for step in fresh:
        kind = kinds.get(step.definition.step_type)
        if kind is not None and (candidates := left.get(kind.rest(step.definition))):
            found.append(ChangingStep(candidates.popleft(), step))
    return tuple(found)


def view(
    plan: Plan,
    name: str,
    owner: WorkflowOwner,
    *,
    created: bool,
    running: Mapping[str, StepDefinition],
    has_failed: bool = False,
    show_keys: bool = False,
) -> PlanView:
    """The plan as the HTTP API shows it; `running` has the definition of each running step id, in running order.

    A workflow that `has_failed` is changed by any plan: at the least it runs again.  `show_keys`: whether the plan may
    be read by those alone who may publish.
    """
    definitions = (*running.values(), *(step.definition for step in plan.wanted))
    keys = frozenset[str]() if show_keys else publish_keys(definitions)
    return PlanView(
        workflow=name,
        created=created,
        changed=created or has_failed or not plan.is_empty,
        steps=tuple(_planned_steps(plan, running, keys)),
        owner=owner,
    )


def _planned_steps(plan: Plan, running: Mapping[str, StepDefinition], keys: Collection[str]) -> Iterator[PlannedStep]:
    """All steps in the order of the file: what stops stands before what takes its place, else where it stood."""
    in_place = {step.wanted.step_id: step.before for step in plan.change}
    before = {**_predecessors(plan, running), **in_place}
    actions: dict[str, StepAction] = {step.step_id: "start" for step in plan.start}
    actions |= dict.fromkeys(in_place, "change")
    gone = _gone_behind(plan, running, before)

    def stops(step_ids: Iterable[str]) -> Iterator[PlannedStep]:
        yield from (_planned(step_id, running[step_id], "stop", keys) for step_id in step_ids)

    yield from stops(gone.get(None, ()))
    for step in plan.wanted:
        planned = _planned(step.step_id, step.definition, actions.get(step.step_id, "keep"), keys)
        if (old := before.get(step.step_id)) is not None:
            yield from stops([old] if step.step_id not in in_place else [])
            changes = tuple(_changes(running[old], step.definition, keys))
            planned = evolve(planned, step_id_before=old, changes=changes)
        yield planned
        yield from stops(gone.get(step.step_id, ()))


NEAREST = 32
"""Of the steps of its kind that stop, how many a new step is compared with: the work grows with the steps alone."""


def _predecessors(plan: Plan, running: Mapping[str, StepDefinition]) -> dict[str, str]:
    """By the id of a new step that of the one which it is shown in place of: the most similar of its kind."""
    left: dict[str, deque[str]] = {}
    for step_id in plan.stop:
        left.setdefault(running[step_id].step_type, deque()).append(step_id)
    found: dict[str, str] = {}
    for step in plan.start:
        if candidates := left.get(step.definition.step_type):
            parameters = step.definition.parameters.items()
            alike = [len(running[old].parameters.items() & parameters) for old in islice(candidates, NEAREST)]
            best = alike.index(max(alike))
            found[step.step_id] = candidates[best]
            del candidates[best]
    return found


def _gone_behind(
    plan: Plan, running: Mapping[str, StepDefinition], before: Mapping[str, str]
) -> dict[str | None, list[str]]:
    """The steps that stop with nothing in their place, by the wanted step behind which they stood."""
    became = {old: new for new, old in before.items()}
    stopped = frozenset(plan.stop)
    gone: dict[str | None, list[str]] = {}
    last: str | None = None
    for step_id in running:
        if step_id in became:
            last = became[step_id]
        elif step_id not in stopped:
            last = step_id
        else:
            gone.setdefault(last, []).append(step_id)
    return gone


def _planned(step_id: str, definition: StepDefinition, action: StepAction, keys: Collection[str]) -> PlannedStep:
    shown = shown_in_plan(definition.shown_parameters(), keys)
    return PlannedStep(step_id, definition.step_type, action, shown)


def shown_in_plan(parameters: Mapping[str, ParameterValue], keys: Collection[str]) -> dict[str, ParameterValue]:
    """Parameters without what is secret in them, or in URLs, and without these `keys`."""
    return {name: HIDDEN if value in keys else value for name, value in mask_values(parameters).items()}


def _changes(before: StepDefinition, after: StepDefinition, keys: Collection[str]) -> Iterator[ParameterChange]:
    """What differs, in the order of the new step and then of the old one."""
    old, new = before.parameters, after.parameters
    old_shown = shown_in_plan(before.shown_parameters(), keys)
    new_shown = shown_in_plan(after.shown_parameters(), keys)
    for name in dict.fromkeys((*new, *old)):
        if (name in old, old.get(name)) != (name in new, new.get(name)):
            yield ParameterChange(name, _value(name, old_shown), _value(name, new_shown))


def _value(name: str, shown: Mapping[str, ParameterValue]) -> str | bool | None:
    value = shown.get(name)
    return True if name in shown and value is None else value


@frozen
class Segment:
    """The stretch of a sequence that a change touches.

    The first `prefix` and the last `suffix` steps are the same, in the same order, before and after; no
    link among them is touched.
    """

    prefix: int
    suffix: int


def changed_segment(before: Sequence[str], after: Sequence[str]) -> Segment:
    """Find the longest common start, then the longest common end of what remains."""
    shorter = min(len(before), len(after))
    prefix = 0
    while prefix < shorter and before[prefix] == after[prefix]:
        prefix += 1
    suffix = 0
    while suffix < shorter - prefix and before[-1 - suffix] == after[-1 - suffix]:
        suffix += 1
    return Segment(prefix, suffix)


# Sets.

REACTOR_PARAMETER = "reactor"
"""The parameter by which any kind of step names the reactor that it asks."""


@frozen
class WorkflowSet:
    """What is to be put in place at once, the `definitions` in the order in which their new steps start.

    `delete` names workflows that are stopped with it (names of none are no error). `reactors` are all that there shall
    be, `None` to leave them as they are. Workflows that are not named stay as they are.

    What it names belongs to `owner` from then on. What somebody else has it takes only with `take_over`; but the
    configuration file always has the last word over the sets of the API.  `in_place`: whether steps that can take other
    parameters do so, rather than being replaced; `None`: as the server has it.
    """

    definitions: tuple[WorkflowDefinition, ...] = ()
    delete: tuple[str, ...] = ()
    reactors: tuple[ReactorDefinition, ...] | None = None
    owner: WorkflowOwner = BY_API
    take_over: bool = False
    in_place: bool | None = None


class SetConflict(MmidsError):
    """A set that cannot be put in place; nothing was touched. `problems` has every reason, a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class OwnedByOthers(SetConflict):
    """A set that could be put in place if it were allowed to take over what others have."""


@frozen
class StepCut:
    """A step that would disconnect clients, with how many, as of now: it stops, or excludes them by a change in place.

    `parameters`: without what is secret in them, or in URLs.  `of`: where it runs on, how many clients it has in all.
    """

    workflow: str
    step_id: str
    step_type: str
    publishers: int
    watchers: int
    parameters: Mapping[str, ParameterValue] = field(factory=dict)
    of: Clients | None = None


@frozen
class PlannedReactor:
    """What a set does to one reactor; `taken_from`: whose it was, where that is somebody else."""

    name: str
    action: Literal["keep", "change", "start", "stop"]
    taken_from: WorkflowOwner | None = None

    @property
    def is_news(self) -> bool:
        """Whether anything is to be done."""
        return self.action != "keep" or self.taken_from is not None


@frozen
class SetPlan:
    """What a set does: a plan per workflow in the order of the set, and the names that it stops (and that exist).

    `cuts` has every step that stops, also those of deleted workflows, and every one that excludes clients. `reactors`
    is empty where the set leaves them alone. `owner`: whose all of it is, afterwards and, of what is stopped, before.
    """

    workflows: tuple[PlanView, ...] = ()
    deleted: tuple[str, ...] = ()
    cuts: tuple[StepCut, ...] = ()
    reactors: tuple[PlannedReactor, ...] = ()
    owner: WorkflowOwner = BY_API

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return (
            bool(self.deleted)
            or any(plan.changed for plan in self.workflows)
            or any(reactor.is_news for reactor in self.reactors)
        )

    @property
    def publishers(self) -> int:
        """Publishers that would be disconnected."""
        return sum(cut.publishers for cut in self.cuts)

    @property
    def watchers(self) -> int:
        """Watchers that would be disconnected."""
        return sum(cut.watchers for cut in self.cuts)


def leaves_nothing(plan: SetPlan, running: Collection[str]) -> bool:
    """Whether the set would stop all of `running`, which is all that it may stop, and start nothing instead."""
    return bool(running) and not plan.workflows and set(running) <= set(plan.deleted)


def stops_everything(count: int, owner: WorkflowOwner, why: str) -> str:
    """The sentence of a refusal, for what would stop all of the owner's `count` workflows."""
    workflows = "the only workflow" if count == 1 else f"all {count} workflows"
    whose = "configuration file" if owner.kind == "config" else str(owner)
    return (
        f"{why}, which would stop {workflows} of the {whose}; nothing was changed"
        " (allow it, or write a comment into the file)"
    )


def prunable(kept: Collection[str], owner: WorkflowOwner, owners: Mapping[str, WorkflowOwner]) -> tuple[str, ...]:
    """The workflows of one owner that are not among the `kept` names."""
    return tuple(name for name, known in owners.items() if name not in kept and known.is_same(owner))


def name_conflicts(wanted: WorkflowSet) -> Iterator[str]:
    """What is wrong with the names of a set by themselves."""
    defined = Counter(definition.name for definition in wanted.definitions)
    yield from (f"workflow '{name}' is defined {count} times" for name, count in defined.items() if count > 1)
    deleted = dict.fromkeys(wanted.delete)
    yield from (f"workflow '{name}' is defined and deleted at once" for name in deleted if name in defined)
    reactors = Counter(reactor.name for reactor in wanted.reactors or ())
    yield from (f"reactor '{name}' is defined {count} times" for name, count in reactors.items() if count > 1)


def _belongs_to(kind: str, name: str, owner: WorkflowOwner) -> str:
    return f"{kind} '{name}' belongs to the {owner}; leave it out, or take it over"


def foreign(
    wanted: WorkflowSet, owners: Mapping[str, WorkflowOwner], reactors: Iterable[ReactorDefinition]
) -> Iterator[str]:
    """What of a set others have, given whose the workflows and the `reactors` are that there are."""
    if wanted.take_over:
        return
    of_file = wanted.owner.kind == "config"  # which has the last word over sets, but not over reactors
    named = dict.fromkeys((*(definition.name for definition in wanted.definitions), *wanted.delete))
    for name, owner in ((name, owners[name]) for name in named if name in owners):
        if not owner.is_same(wanted.owner) and (owner.kind == "reactor" or not of_file):
            yield _belongs_to("workflow", name, owner)
    if not of_file:
        yield from (_belongs_to("reactor", name, owner) for name, owner in reactors_taken(wanted, reactors))


def reactors_taken(wanted: WorkflowSet, reactors: Iterable[ReactorDefinition]) -> Iterator[tuple[str, WorkflowOwner]]:
    """The reactors that a set takes from others, and from whom."""
    asked = {reactor.name: reactor.set for reactor in wanted.reactors or ()}
    for reactor in reactors:
        if reactor.name in asked and asked[reactor.name] != reactor.set:
            yield reactor.name, WorkflowOwner("config") if reactor.set is None else of_set(reactor.set)


def reactor_conflicts(removed: Collection[str], remaining: Iterable[WorkflowDefinition]) -> Iterator[str]:
    """Which of the workflows that remain ask reactors that would be removed."""
    for definition in remaining if removed else ():
        asked = dict.fromkeys(step.parameters.get(REACTOR_PARAMETER) for step in definition.steps)
        yield from (
            f"reactor '{name}' cannot be removed: workflow '{definition.name}' asks it"
            for name in asked
            if name in removed
        )


NOBODY_EXCLUDED: Mapping[str, Clients] = {}


def cuts(
    status: WorkflowStatus,
    plan: PlanView | None,
    name: str,
    keys: Collection[str] = frozenset(),
    excluded: Mapping[str, Clients] = NOBODY_EXCLUDED,
) -> Iterator[StepCut]:
    """The steps that a plan stops (`None`: the end of the workflow stops all of them), with their clients.

    `keys` are hidden.  `excluded`: whom steps would exclude that change in place, by their ids so far.
    """
    stopped = None if plan is None else {step.step_id for step in plan.steps if step.action == "stop"}
    for step in status.active_steps:
        stops = stopped is None or step.step_id in stopped
        cut = step.clients if stops else excluded.get(step.step_id, NO_CLIENTS)
        if stops or cut != NO_CLIENTS:
            parameters, of = shown_in_plan(step.parameters, keys), None if stops else step.clients
            yield StepCut(name, step.step_id, step.step_type, cut.publishers, cut.watchers, parameters, of)
