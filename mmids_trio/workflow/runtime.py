"""One workflow at work: it accepts its parts in changes, and its own task carries them out, one after another.

Whoever makes a change hands a part over (`accept`: synchronous); `change` says how a change works.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf

import structlog
import trio
from attrs import evolve

from mmids_trio.backoff import Backoff
from mmids_trio.definitions import WorkflowDefinition, publish_keys
from mmids_trio.errors import CannotSwitch, NoSuchStep
from mmids_trio.workflow.change import Part, Phase, Remedy, Transaction
from mmids_trio.workflow.events import WorkflowEnded, WorkflowTakenOver
from mmids_trio.workflow.pipeline import SharedServices, StepFactories, StepPipeline, reason, stop
from mmids_trio.workflow.plan import NOBODY_EXCLUDED, StepCut, WantedStep, cuts, view
from mmids_trio.workflow.running_step import RunningStep
from mmids_trio.workflow.status import OutcomeKind, PlanView, StepStatus, Switched, WorkflowOwner, WorkflowStatus

log = structlog.get_logger()

FIRST_RETRY_SECONDS = 1.25
"""With the jitter of `Backoff`, the first try comes after 1 to 1.25 s; at most 30 s lie between two."""


class Workflow:
    """One workflow, from its first definition until it is cancelled, retired or its failed creation is taken back.

    `on_retired` is called, synchronously, in the last two cases; nothing may be accepted after it. `try_again` is
    called while it is in error for a reason that may pass.
    """

    def __init__(
        self,
        name: str,
        factories: StepFactories,
        on_retired: Callable[["Workflow"], None],
        try_again: Callable[["Workflow"], None],
        *,
        owner: WorkflowOwner,
        shared: SharedServices,
    ) -> None:
        self.name = name
        self.owner = owner
        self.pipeline = StepPipeline(name, factories, shared, self._on_trouble)
        self.ended = trio.Event()
        self._factories = factories
        self._publish = shared.hub.publish
        self._totals = shared.totals
        self._on_retired = on_retired
        self._try_again = try_again
        self._backoff = Backoff(shared.random, FIRST_RETRY_SECONDS)
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._stir = trio.lowlevel.ParkingLot()
        self._next: Part | None = None
        self._current: Part | None = None
        self._idle: Part | None = None
        """The part in a change that leaves the workflow as it is."""
        self._hindrances: list[trio.Event] = []
        """Ends of changes that something newer has superseded here: first they give up all that they hold."""

    # What others ask of it: synchronous, from any task.

    def plan(self, definition: WorkflowDefinition, *, in_place: bool = False, show_keys: bool = False) -> PlanView:
        """What `definition` would change, compared with what carries media now."""
        pipeline = self.pipeline
        return view(
            pipeline.plan(definition, in_place=in_place),
            self.name,
            self.owner,
            created=pipeline.definition is None,
            running={step.step_id: step.definition for step in pipeline.steps},
            has_failed=pipeline.failed is not None,
            show_keys=show_keys,
        )

    def cuts(
        self, definition: WorkflowDefinition | None, plan: PlanView | None, *, show_keys: bool = False
    ) -> Iterator[StepCut]:
        """The steps that cut clients by a change to `definition`, of which this is the plan; `None`: by the end."""
        excluded = NOBODY_EXCLUDED
        if definition is not None and plan is not None and any(step.action == "change" for step in plan.steps):
            excluded = self.pipeline.excluded(self.pipeline.plan(definition, in_place=True))
        keys = frozenset() if show_keys else publish_keys(step.definition for step in self.pipeline.steps)
        return cuts(self.status(), plan, self.name, keys, excluded)

    def accept(
        self,
        transaction: Transaction,
        definition: WorkflowDefinition | None,
        owner: WorkflowOwner | None = None,
    ) -> None:
        """Have a part in a change; `None` ends the workflow. What is still open here is superseded by it.

        With the swap the workflow belongs to `owner` (`None`: to whom it does).
        """
        is_idle = definition is not None and self._is_at_rest(definition)
        part = Part(transaction, self.pipeline, definition, self._withdraw, self._retire, is_idle=is_idle)
        if owner is not None and definition is not None:
            part.on_swapped = partial(self._belong_to, owner)
        if definition is not None and not is_idle:
            part.on_settled = self._factories.announce(self._to_come(definition))
        transaction.add(part)
        older = self._parts
        if is_idle:
            self._idle = part
        else:
            self._next = part
        superseded = dict.fromkeys(known.transaction for known in older if known.transaction.is_open)
        for known in superseded:
            known.give_up(OutcomeKind.SUPERSEDED, f"superseded by a newer update of workflow '{self.name}'")
        ends = [known.ended for known in superseded]
        transaction.after += ends
        self._hindrances += ends
        self._stir.unpark_all()

    def _to_come(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        """With those steps only that clients may have to wait for: whoever knows a running step finds it by itself."""
        if self._current is not None:
            return definition  # it may stop what this one wants again
        running = frozenset(() if self.pipeline.failed else self.pipeline.ids)
        steps = zip(definition.step_ids, definition.steps, strict=True)
        return evolve(definition, steps=tuple(step for step_id, step in steps if step_id not in running))

    def _is_at_rest(self, definition: WorkflowDefinition) -> bool:
        """Whether nothing is going on, and the workflow is as `definition` says."""
        return self._current is None and self._next is None and self.pipeline.is_as(definition)

    @property
    def _parts(self) -> Sequence[Part]:
        """Those that it has in changes, in the order in which they were accepted."""
        return [part for part in (self._current, self._next, self._idle) if part is not None]

    def _withdraw(self, part: Part) -> None:
        """See `change.Part.withdraw`."""
        if self._idle is part:
            self._idle = None
        if self._next is part:
            self._next = None
            if self._current is None and self._abandon_creation():
                self._scope.cancel()

    def _retire(self) -> None:
        """See `change.Part.retire`."""
        self.pipeline.close()
        self._on_retired(self)

    def _belong_to(self, owner: WorkflowOwner) -> None:
        before, self.owner = self.owner, owner
        if not before.is_same(owner):
            self._publish(WorkflowTakenOver(self.name, before, owner))
            log.info("workflow taken over", workflow=self.name, owner=str(owner), owner_before=str(before))

    def cancel(self) -> None:
        """Begin the end; `ended` is set when nothing of the workflow is left."""
        for part in self._parts:
            part.transaction.on_workflow_stopped(self.name)
        self._scope.cancel()

    def switch(self, step_id: str, to: str) -> Switched:
        """Have the step of that id send its source `to`. Raises `NoSuchStep` and `CannotSwitch`."""
        step = next((step for step in self.pipeline.steps if step.step_id == step_id), None)
        if step is None:
            raise NoSuchStep(f"workflow '{self.name}' has no step with the id '{step_id}' at work")
        step_type = step.definition.step_type
        if step.ended.is_set():
            raise CannotSwitch(f"the {step_type} step does not run")
        if step.switch_to is None:
            raise CannotSwitch(f"a {step_type} step has no sources to switch between")
        return step.switch_to(to)

    @property
    def wanted(self) -> WorkflowDefinition | None:
        """The definition that was accepted last, carried out or not."""
        part = self._next or self._current
        return self.pipeline.definition if part is None else part.definition

    def status(self) -> WorkflowStatus:
        """What the outside may know."""
        failed = self.pipeline.failed
        return WorkflowStatus(
            status="Running" if failed is None else reason(failed),
            active_steps=tuple(step.describe() for step in self.pipeline.steps),
            pending_steps=self._pending_steps(),
            owner=self.owner,
            state=None if failed is None else "error",
            reason=None if failed is None else failed.error,
        )

    @property
    def unready(self) -> str | None:
        """Why it carries no media; `None` where it can."""
        if self.pipeline.failed is not None:
            return reason(self.pipeline.failed)
        return "it does not run yet" if self.pipeline.definition is None else None

    def _pending_steps(self) -> tuple[StepStatus, ...]:
        pipeline = self.pipeline
        part = self._next or (self._current if pipeline.wanted else None)
        if part is None or part.definition is None:
            return ()
        known = {step.step_id: step for step in (*pipeline.running, *pipeline.wanted)}
        plan = pipeline.plan(part.definition, in_place=part.transaction.in_place)
        becoming = {each.wanted.step_id: known[each.before] for each in plan.change}
        return tuple(
            _describe_becoming(becoming[step.step_id], step)
            if step.step_id in becoming
            else known[step.step_id].describe()
            if step.step_id in known
            else _describe_unborn(step)
            for step in plan.wanted
        )

    def _on_trouble(self, failed: RunningStep) -> None:
        """A step has failed that was ready: what is being carried out hears of it, and what it broke is shut down."""
        for part in (self._current, self._idle):
            if part is not None:
                part.fail(failed)
        self._stir.unpark_all()

    # Its own task.

    async def run(self, after: Sequence[trio.Event] = ()) -> None:
        """Run until cancelled, retired or abandoned; begins when all of `after` (ends of predecessors) are set."""
        structlog.contextvars.clear_contextvars()  # of the request that happened to create it
        structlog.contextvars.bind_contextvars(workflow=self.name)
        tally = self._totals.open((self.name, "", ""), self.pipeline.counts)
        try:
            with self._scope:
                for event in after:
                    await event.wait()
                async with trio.open_nursery() as self._nursery:
                    await self._carry_out_parts()
        finally:
            self.pipeline.close()
            self._totals.close(tally)
            for part in self._parts:
                part.transaction.on_workflow_gone(self.name)
                part.advance(Phase.DONE)
            self.ended.set()
            self._publish(WorkflowEnded(self.name))
            log.info("workflow ended")

    async def _carry_out_parts(self) -> None:
        while True:
            if self.pipeline.is_breaking:
                await self.pipeline.break_down()
            elif self._hindrances:
                await self._hindrances.pop().wait()
            elif self._next is not None:
                self._current, self._next = self._next, None
                if not self._current.transaction.is_retry:
                    self._backoff.reset()
                if not await self._carry_out(self._current):
                    return
                self._current = None
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Until something is to be done; or until it is time to try again what failed."""
        failed = self.pipeline.failed
        delay = inf if failed is None or not failed.may_pass else self._backoff.next_delay()
        with trio.move_on_after(delay) as patience:
            await self._stir.park()
        if patience.cancelled_caught and self._idle is None and self._next is None:
            self._try_again(self)

    async def _carry_out(self, part: Part) -> bool:
        """One part, from its turn to its end. False when the workflow is to end with it."""
        try:
            part.prepare()
            with part.scope:
                await part.come_to_swap(self._nursery)
            if part.transaction.is_swapped:
                await stop(part.removed)
                is_over = part.definition is None
            else:
                is_over = await self._give_up(part)
        finally:
            self.pipeline.forget()
        if not is_over and part.phase is not Phase.WAITING:
            part.advance(Phase.DONE)
        return not is_over

    async def _give_up(self, part: Part) -> bool:
        """The swap will not be: leave no trace, or put the workflow in error. True when nothing is left to run."""
        if part.remedy is Remedy.PUT_IN_ERROR:
            assert part.definition is not None
            assert part.failed is not None
            await stop(self.pipeline.fail(part.definition, part.failed, is_news=not part.transaction.is_retry))
            return False
        self.pipeline.release()
        await stop(part.fresh)
        if part.remedy is Remedy.BEGIN_ANEW and part.transaction.is_open:
            # A step that carried media has failed, perhaps the one to be removed: once the workflow is broken down,
            # the same part starts everything anew.
            part.begin_anew()
            self._next = part
        return self._abandon_creation()

    def _abandon_creation(self) -> bool:
        """Whether a creation that failed leaves nothing, and nobody asks for more."""
        if self.pipeline.definition is not None or self._next is not None:
            return False
        self._on_retired(self)
        return True


def _describe_unborn(step: WantedStep) -> StepStatus:
    definition = step.definition
    return StepStatus(step.step_id, definition.step_type, definition.shown_parameters(), "Created")


def _describe_becoming(running: RunningStep, step: WantedStep) -> StepStatus:
    """A running step as what it becomes."""
    return evolve(running.describe(), step_id=step.step_id, parameters=step.definition.shown_parameters())
