"""All workflows of a server by name: the one place that starts and stops them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Protocol

import structlog
import trio
from attrs import evolve

from mmids_trio.config.report import Findings
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, NoSuchStep
from mmids_trio.offload import Work
from mmids_trio.workflow.change import (
    ALL_OR_NOTHING,
    PUT_IN_ERROR,
    ROLL_BACK,
    Change,
    NoReplacement,
    Replacement,
    Stopping,
    Transaction,
)
from mmids_trio.workflow.pipeline import SharedServices, StepFactories
from mmids_trio.workflow.plan import (
    OwnedByOthers,
    PlannedReactor,
    SetConflict,
    SetPlan,
    StepCut,
    WorkflowSet,
    foreign,
    make_plan,
    name_conflicts,
    prunable,
    reactor_conflicts,
    reactors_taken,
    view,
)
from mmids_trio.workflow.runtime import Workflow
from mmids_trio.workflow.status import BY_API, OutcomeKind, PlanView, Switched, WorkflowOwner, WorkflowStatus

log = structlog.get_logger()

EMPTY_SET = WorkflowSet()

CUTTING = ("stop", "change")
"""What a step may be in for that disconnects its clients."""


class StepKinds(StepFactories, Protocol):
    """What the manager needs to know about the kinds of steps there are."""

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """The definition in canonical spellings; raises `ConfigurationError` with every problem."""


class ReplaceableReactors(Protocol):
    """What the manager needs of the reactors, which are changed together with workflows."""

    @property
    def definitions(self) -> Sequence[ReactorDefinition]:
        """What all that are in force were made from."""

    def works(self, definition: ReactorDefinition) -> Iterable[Work]:
        """As `StepFactories.works`."""

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> Replacement:
        """What puts `definitions` in place of the reactors that there are; nothing has happened yet.

        Raises `ConfigurationError` with every problem.
        """


class NoReactors:
    """Where there are no reactors, and cannot be any."""

    definitions: Sequence[ReactorDefinition] = ()

    def works(self, definition: ReactorDefinition) -> Iterable[Work]:
        """See `ReplaceableReactors`."""
        return ()

    def replacement(self, definitions: Sequence[ReactorDefinition]) -> Replacement:
        """See `ReplaceableReactors`."""
        if definitions:
            raise SetConflict(["there are no reactors on this server"])
        return NoReplacement()


class WorkflowManager:
    """Starts, changes and stops workflows; each runs in a nursery of its own inside the manager's.

    `reactors` are those that are changed by sets of workflows. `steps_beside` gives the kinds of steps as they would be
    beside reactors of these names, which a set brings; without it they do not depend on reactors.
    """

    def __init__(
        self,
        steps: StepKinds,
        shared: SharedServices | None = None,
        *,
        reactors: ReplaceableReactors | None = None,
        steps_beside: Callable[[Sequence[str]], StepKinds] | None = None,
    ) -> None:
        self._steps = steps
        self._steps_beside = steps_beside or (lambda _: steps)
        self._reactors = reactors or NoReactors()
        self._shared = shared or SharedServices()
        self._nursery: trio.Nursery | None = None
        self._workflows: dict[str, Workflow] = {}
        self._transactions: dict[Transaction, None] = {}
        """Those that have not ended, in the order in which they were accepted."""
        self._is_stopping = False
        self.changes_in_place = False
        """Whether changes are made in place that do not say so themselves."""
        self._ending: dict[str, list[Workflow]] = {}
        """Workflows that are not listed any more but have not quite ended; their successors wait for them."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the workflows until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def names(self) -> Sequence[str]:
        """Names of all workflows, in the order in which they were started."""
        return list(self._workflows)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop_all` was called: nothing that ends from then on was asked for."""
        return self._is_stopping

    @property
    def reactor_definitions(self) -> Sequence[ReactorDefinition]:
        """What all reactors that are in force were made from."""
        return self._reactors.definitions

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left of any workflow, those included that are not listed any more."""
        return not self._workflows and not self._ending

    def status(self, name: str) -> WorkflowStatus | None:
        """What is known of one workflow; `None` where there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.status()

    def unready(self) -> Iterator[str]:
        """Which workflows of the configuration file do not run, and why, a sentence each."""
        for name, workflow in self._workflows.items():
            if workflow.owner.kind == "config" and (reason := workflow.unready) is not None:
                yield f"workflow '{name}': {reason}"

    async def prepare(
        self, definitions: Iterable[WorkflowDefinition], reactors: Iterable[ReactorDefinition] = ()
    ) -> None:
        """Have what these need imported in a thread: what else is done with them holds up the loop, and clients."""
        works = dict.fromkeys(chain(*map(self._steps.works, definitions), *map(self._reactors.works, reactors)))
        if works:
            await self._shared.offload(lambda: [work() for work in works])

    def validate(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """See `StepKinds.validate`."""
        return self._steps.validate(definition)

    def announce(self, definition: WorkflowDefinition) -> Callable[[], None]:
        """See `StepFactories.announce`: for what will be applied, but not yet."""
        return self._steps.announce(definition)

    def plan(
        self,
        definition: WorkflowDefinition,
        *,
        owner: WorkflowOwner = BY_API,
        in_place: bool | None = None,
        show_keys: bool = False,
    ) -> PlanView:
        """What `apply` would do; pure. `owner` counts where the workflow is new.

        `show_keys`: with the stream keys of publishers.
        """
        workflow = self._workflows.get(definition.name)
        if workflow is not None:
            return workflow.plan(definition, in_place=self._is_in_place(in_place), show_keys=show_keys)
        return view(make_plan((), definition), definition.name, owner, created=True, running={}, show_keys=show_keys)

    def cuts(self, name: str, definition: WorkflowDefinition | None, plan: PlanView | None) -> tuple[StepCut, ...]:
        """The steps of one workflow that cut clients by this change of it, as of now; `None`: by its end."""
        workflow = self._workflows.get(name)
        if workflow is None or (plan is not None and not any(step.action in CUTTING for step in plan.steps)):
            return ()
        return tuple(workflow.cuts(definition, plan))

    def owner(self, name: str) -> WorkflowOwner | None:
        """Whose the workflow of that name is: who asked for it first, or took it over. `None`: there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.owner

    def apply(
        self,
        definition: WorkflowDefinition,
        *,
        rollback: bool = False,
        in_place: bool | None = None,
        owner: WorkflowOwner = BY_API,
    ) -> Change[PlanView]:
        """Start or update the workflow of that name with a validated definition.

        Returns at once; the change goes on whoever waits for it.  `owner` counts where the workflow is new; `in_place`
        is as in a `WorkflowSet`.  Raises `Stopping` after `stop_all`.
        """
        self._require_running()
        change = Change(self.plan(definition, owner=owner, in_place=in_place))
        policy = ROLL_BACK if rollback else PUT_IN_ERROR
        transaction = Transaction(change, policy, in_place=self._is_in_place(in_place))
        self._begin(transaction, {definition.name: definition}, owner)
        return change

    def _begin(
        self,
        transaction: Transaction,
        parts: Mapping[str, WorkflowDefinition | None],
        owner: WorkflowOwner,
        *,
        takes: bool = False,
    ) -> None:
        """Hand every workflow its part, and have the change led. `takes`: what is there belongs to `owner`, too."""
        self._shared.outside.learn(definition for definition in parts.values() if definition is not None)
        for name, definition in parts.items():
            workflow = self._workflows.get(name) or self._create(name, owner)
            workflow.accept(transaction, definition, owner if takes else None)
        self._supersede_reactors(transaction)
        if transaction.is_trivial:
            transaction.complete_at_once()
        else:
            self._transactions[transaction] = None
            self._require_running().start_soon(self._lead, transaction)

    def _require_running(self) -> trio.Nursery:
        """Where what is accepted is carried out; nothing is accepted where nobody would."""
        if self._is_stopping:
            raise Stopping("the server is being stopped")
        if self._nursery is None:
            raise RuntimeError("workflows are changed while WorkflowManager.run runs, not before")
        return self._nursery

    # Many at once.

    def definition(self, name: str) -> WorkflowDefinition | None:
        """What was accepted last for the workflow of that name, carried out or not; `None` where there is none."""
        workflow = self._workflows.get(name)
        return None if workflow is None else workflow.wanted

    def prunable(self, kept: Collection[str], owner: WorkflowOwner = BY_API) -> tuple[str, ...]:
        """The workflows that all of what the owner wants would delete without them: the owner's, and not `kept`."""
        return prunable(kept, owner, self._owners())

    def validate_all(self, wanted: WorkflowSet) -> WorkflowSet:
        """The set in canonical spellings, checked against the reactors that it brings.

        Raises `ConfigurationError` with every problem.
        """
        steps = self._steps if wanted.reactors is None else self._steps_beside([r.name for r in wanted.reactors])
        findings = Findings()
        valid: list[WorkflowDefinition] = []
        with _noting(findings):
            self._replacement(wanted)
        for definition in wanted.definitions:
            with _noting(findings):
                valid.append(steps.validate(definition))
        if findings.problems:
            raise ConfigurationError(findings.problems)
        return evolve(wanted, definitions=tuple(valid))

    def plan_all(self, wanted: WorkflowSet, *, show_keys: bool = False) -> SetPlan:
        """What `apply_all` would do; pure. Raises `SetConflict`, or `ConfigurationError` for a reactor."""
        return self._plan_all(wanted, self._replacement(wanted), show_keys=show_keys)

    def _plan_all(self, wanted: WorkflowSet, replacement: Replacement, *, show_keys: bool = False) -> SetPlan:
        problems = [*name_conflicts(wanted), *self._reactor_conflicts(replacement, wanted)]
        of_others = list(foreign(wanted, self._owners(), self._reactors.definitions))
        if problems:
            raise SetConflict([*problems, *of_others])
        if of_others:
            raise OwnedByOthers(of_others)
        plans = tuple(self._plan_taking(definition, wanted, show_keys=show_keys) for definition in wanted.definitions)
        deleted = tuple(dict.fromkeys(name for name in wanted.delete if name in self._workflows))
        planned = [*zip(wanted.definitions, plans, strict=True)]
        cut = tuple(self._cuts(planned, deleted, show_keys=show_keys))
        return SetPlan(plans, deleted, cut, tuple(self._reactors_taking(wanted, replacement)), wanted.owner)

    def _plan_taking(self, definition: WorkflowDefinition, wanted: WorkflowSet, *, show_keys: bool) -> PlanView:
        """As `plan`, and the workflow belongs to the owner of the set afterwards."""
        owner = wanted.owner
        plan = self.plan(definition, owner=owner, in_place=wanted.in_place, show_keys=show_keys)
        if plan.owner is None or plan.owner.is_same(owner):
            return plan
        return evolve(plan, changed=True, owner=owner, taken_from=plan.owner)

    def _reactors_taking(self, wanted: WorkflowSet, replacement: Replacement) -> Iterator[PlannedReactor]:
        taken = dict(reactors_taken(wanted, self._reactors.definitions))
        return (evolve(planned, taken_from=taken.get(planned.name)) for planned in replacement.plan)

    def _replacement(self, wanted: WorkflowSet) -> Replacement:
        return NoReplacement() if wanted.reactors is None else self._reactors.replacement(wanted.reactors)

    def _reactor_conflicts(self, replacement: Replacement, wanted: WorkflowSet = EMPTY_SET) -> Iterator[str]:
        """Who will still ask reactors that go: workflows that the set leaves alone, and its own."""
        changed = {*wanted.delete, *(definition.name for definition in wanted.definitions)}
        left = [
            workflow.wanted
            for name, workflow in self._workflows.items()
            if name not in changed and not _ends_with(workflow.owner, replacement.removed)
        ]
        remaining = [definition for definition in (*left, *wanted.definitions) if definition is not None]
        return reactor_conflicts(replacement.removed, remaining)

    def apply_all(self, wanted: WorkflowSet) -> Change[SetPlan]:
        """Put a validated set in place: all of it, or nothing.

        Returns at once, and the change goes on whoever waits for it.
        Raises `SetConflict` (or `ConfigurationError` for a reactor) before anything is touched, and `Stopping`.
        """
        self._require_running()
        replacement = self._replacement(wanted)
        change = Change(self._plan_all(wanted, replacement))
        transaction = Transaction(
            change,
            ALL_OR_NOTHING,
            replacement,
            partial(self._reactor_conflicts, replacement),
            brings_reactors=wanted.reactors is not None,
            in_place=self._is_in_place(wanted.in_place),
        )
        defined = {definition.name: definition for definition in wanted.definitions}
        self._shared.outside.learn(wanted.reactors or ())
        self._begin(transaction, {**defined, **dict.fromkeys(change.plan.deleted)}, wanted.owner, takes=True)
        return change

    def _supersede_reactors(self, newer: Transaction) -> None:
        """Of two that bring reactors the newer counts, unless neither changes any."""
        for older in self._transactions if newer.brings_reactors else ():
            changes = older.changes_reactors or newer.changes_reactors
            if older.is_open and older.brings_reactors and changes:
                older.give_up(OutcomeKind.SUPERSEDED, "superseded by a newer update of the reactors")
                newer.after.append(older.ended)

    async def _lead(self, transaction: Transaction) -> None:
        """The wall around a change."""
        try:
            await transaction.run()
        except* Exception:
            log.exception("change crashed")
        finally:
            del self._transactions[transaction]

    def _owners(self) -> dict[str, WorkflowOwner]:
        return {name: workflow.owner for name, workflow in self._workflows.items()}

    def _cuts(
        self,
        planned: Iterable[tuple[WorkflowDefinition, PlanView]],
        deleted: Iterable[str],
        *,
        show_keys: bool,
    ) -> Iterator[StepCut]:
        for definition, plan in planned:
            if (workflow := self._workflows.get(definition.name)) is not None:
                yield from workflow.cuts(definition, plan, show_keys=show_keys)
        for name in deleted:
            yield from self._workflows[name].cuts(None, None, show_keys=show_keys)

    def _is_in_place(self, asked: bool | None) -> bool:
        return self.changes_in_place if asked is None else asked

    def _create(self, name: str, owner: WorkflowOwner) -> Workflow:
        workflow = self._workflows[name] = Workflow(
            name, self._steps, self._retire, self._try_again, owner=owner, shared=self._shared
        )
        self._require_running().start_soon(self._run, workflow, [ending.ended for ending in self._ending.get(name, ())])
        return workflow

    def _try_again(self, workflow: Workflow) -> None:
        """Start a workflow in error once more, as it is; whatever anybody asks for meanwhile supersedes that."""
        definition = workflow.pipeline.definition
        if definition is not None and not self._is_stopping and self._workflows.get(workflow.name) is workflow:
            transaction = Transaction(Change(workflow.plan(definition)), PUT_IN_ERROR, is_retry=True)
            self._begin(transaction, {workflow.name: definition}, workflow.owner)

    async def _run(self, workflow: Workflow, after: Sequence[trio.Event]) -> None:
        """The wall around a workflow: a fault of ours in one must not end the others."""
        try:
            await workflow.run(after)
        except* Exception:
            log.exception("workflow crashed", workflow=workflow.name)
        finally:
            self._forget(workflow)

    def switch(self, name: str, step_id: str, to: str) -> Switched:
        """Have a step send its source `to`. Raises `errors.NoSuchStep` and `errors.CannotSwitch`."""
        workflow = self._workflows.get(name)
        if workflow is None:
            raise NoSuchStep(f"there is no workflow '{name}'")
        return workflow.switch(step_id, to)

    async def stop(self, name: str) -> None:
        """Stop a workflow and wait until nothing of it is left; no error where none runs.

        Cancelling the wait does not stop the stopping.
        """
        workflow = self._workflows.get(name)
        if workflow is not None:
            self._retire(workflow)
            workflow.cancel()
        for ending in list(self._ending.get(name, ())):
            await ending.ended.wait()

    async def stop_all(self) -> None:
        """Stop every workflow, side by side, and start none any more."""
        self._is_stopping = True
        for transaction in list(self._transactions):
            transaction.on_server_stopped()
        async with trio.open_nursery() as nursery:
            for name in {*self._workflows, *self._ending}:
                nursery.start_soon(self.stop, name)

    def _retire(self, workflow: Workflow) -> None:
        """Unlist a workflow that is about to end."""
        if self._workflows.get(workflow.name) is workflow:
            del self._workflows[workflow.name]
            self._ending.setdefault(workflow.name, []).append(workflow)

    def _forget(self, workflow: Workflow) -> None:
        if self._workflows.get(workflow.name) is workflow:
            del self._workflows[workflow.name]
        ending = self._ending.get(workflow.name, [])
        if workflow in ending:
            ending.remove(workflow)
        if not ending:
            self._ending.pop(workflow.name, None)


def _ends_with(owner: WorkflowOwner, reactors: Collection[str]) -> bool:
    """Whether what the owner has ends with one of these reactors."""
    return owner.kind == "reactor" and owner.name in reactors


@contextmanager
def _noting(findings: Findings) -> Iterator[None]:
    """Add what is wrong to a report."""
    try:
        yield
    except ConfigurationError as error:
        for problem in error.problems:
            findings.add(problem.place, problem.message)
