"""A change of one workflow or of a whole set, from its acceptance to its outcome: one machine for both."""

# How a change works
# ==================
#
# A change is a transaction.  It has a part for each workflow that it touches: one for a PUT of one workflow, hundreds
# for a whole configuration.  Two kinds of tasks carry it out:
#
# - the *leader*, one task per change (`Transaction.run`), which leads the parts from phase to phase and decides;
# - the *workflows*, each in its own task (`runtime.Workflow`), which do what a part needs: only the workflow's task
#   starts and stops its steps.
#
# A part goes through these phases, in this order.  The left column says who moves it on:
#
#     accepted        WAITING    its turn has not come: the workflow is busy with an older change, or breaks down
#     a failed step   BROKEN     what was new is being stopped; then WAITING once more (`Remedy.BEGIN_ANEW` only)
#     the workflow    PREPARED   what is new is known; of the new steps nothing runs yet
#     the workflow    STARTED    the new steps are ready; what ran before still carries all media
#     the workflow    DRAINED    nothing is in flight where links will change; gates are closed, publishers wait
#     the leader      SWAPPED    all parts at once, in one synchronous function
#     the workflow    DONE       nothing is left of what was taken out, or else of what was new
#
# The leader holds a part back twice.  `may_start` keeps the order of the set: of two new steps which want the same
# thing always the first one has it.  `may_drain` keeps publishers from waiting for somebody else's slow start.  A part
# that is alone in its change keeps nobody's order, and waits for neither.
#
# Until the swap a change is *open*: it may still be taken back, and nobody notices.  The swap is the point of no
# return; it and all that it calls have not one `await`, so no other task ever sees half a change.  The names of the
# layers say who does what: the transaction *swaps*, each pipeline *relinks*, and `rewiring` computes what to tell whom.
#
# A step may change *in place*: it runs on and takes other parameters, and becomes another one with that.  It looks at
# them before it is drained, when other steps start (`prepare_changes`), and may refuse.  The swap begins with all of
# them taking theirs; where one cannot, those before it give theirs back, and there is no swap.  Clients whom the new
# parameters exclude are cut at its end.
#
# These may interrupt a change, and this is what happens then:
#
#                                one workflow                    a set
#     a newer change             open: SUPERSEDED                open: SUPERSEDED
#                                else: the newer one waits       else: the newer one waits
#     the end of a workflow      STOPPED, at once                open: SUPERSEDED; else: the other parts go on
#     the end of the server      STOPPED, at once                STOPPED, at once
#     the caller hangs up        nothing                         nothing
#     a step fails               see `FailurePolicy`             see `FailurePolicy`
#
# The first reason counts.  Whoever gives a change up does so with one synchronous call (`Transaction.give_up`), from
# any task.  Parts that still wait are withdrawn on the spot.  All others hear of it because their scope is cancelled;
# their workflows' tasks then let media flow again and stop the new steps.  The outcome is told when all of them have:
# a new step may hold what the next change wants.  For the same reason a newer change waits for the end of all that it
# has superseded (`after`), and so do the workflows of a superseded set for each other (`Workflow._hindrances`).

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from enum import Enum, IntEnum, auto
from typing import Generic, Protocol, TypeVar

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.workflow.pipeline import StepPipeline, reason
from mmids_trio.workflow.plan import PlannedReactor, SetPlan
from mmids_trio.workflow.running_step import RunningStep
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView

log = structlog.get_logger()

ORDER_SECONDS = 1.0
"""How long the new steps of one workflow are waited for before those of the next start beside them, in a set and at the
start of the server: the order decides who gets what two want, and one slow start does not hold up all others."""

PlanT_co = TypeVar("PlanT_co", covariant=True)


class Stopping(MmidsError):
    """The server is being stopped and takes no changes any more."""


# What callers see.


@define(eq=False)
class Change(Generic[PlanT_co]):
    """One accepted change. It belongs to the tasks of the server; callers only watch it."""

    plan: PlanT_co
    is_in_place: bool = field(default=False, init=False)
    """Whether the swap has happened: then it stays, whatever the outcome is."""
    _outcome: Outcome | None = field(default=None, init=False)
    _is_over: trio.Event = field(factory=trio.Event, init=False)
    _listeners: list[Callable[[Outcome], None]] = field(factory=list, init=False)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; `None` while it goes on."""
        return self._outcome

    async def wait_outcome(self) -> Outcome:
        """Wait for the outcome. Cancelling the wait does nothing to the change."""
        await self._is_over.wait()
        assert self._outcome is not None
        return self._outcome

    def when_over(self, listener: Callable[[Outcome], None]) -> None:
        """Have `listener` called with the outcome before anybody who waits sees it; at once where there is one.

        It must neither wait nor raise.
        """
        if self._outcome is None:
            self._listeners.append(listener)
        else:
            listener(self._outcome)

    def finish(self, outcome: Outcome) -> None:
        """Tell the outcome; the first one counts."""
        if self._outcome is None:
            self._outcome = outcome
            for listener in self._listeners:
                listener(outcome)
            self._listeners.clear()  # most of them know the change, which else only the collector would take away
            self._is_over.set()


# What a failure of a step does to a change.


class Remedy(Enum):
    """What becomes of a part when something has failed before the swap."""

    TAKE_BACK = auto()
    """What ran before goes on as if there had been no change."""
    PUT_IN_ERROR = auto()
    """The workflow has the new definition and is in error: all of its steps are shut down."""
    BEGIN_ANEW = auto()
    """What ran before is broken down, and the part begins once more, from WAITING: every step is new."""


@frozen
class Verdict:
    """What is done, and what the caller is told: `prefix` and then which step has failed, and why."""

    remedy: Remedy
    outcome: OutcomeKind = OutcomeKind.FAILED
    prefix: str = ""


@frozen
class FailurePolicy:
    """What failures do to a change, by what has failed."""

    new_step: Verdict
    """Before the swap, a step that the change brings."""
    carrying_step: Verdict
    """Before the swap, a step that carries media, be it one that the change would remove."""
    after_swap: str
    """After the swap everything stays, and a workflow with a failed step is in error: what the message begins with."""
    is_of_set: bool = False
    """Whether messages name the workflow, since there are several."""


NOT_ROLLED_BACK = "not rolled back: "
ROLLED_BACK = Verdict(Remedy.TAKE_BACK, OutcomeKind.ROLLED_BACK, "rolled back: ")

PUT_IN_ERROR = FailurePolicy(
    new_step=Verdict(Remedy.PUT_IN_ERROR),
    carrying_step=Verdict(Remedy.BEGIN_ANEW),
    after_swap="",
)
"""Of one workflow, as Mmids does it."""

ROLL_BACK = FailurePolicy(
    new_step=ROLLED_BACK,
    carrying_step=Verdict(Remedy.TAKE_BACK, OutcomeKind.FAILED, NOT_ROLLED_BACK),  # nothing is left to go back to
    after_swap=NOT_ROLLED_BACK,
)
"""Of one workflow, where the caller asks for it."""

ALL_OR_NOTHING = FailurePolicy(
    new_step=ROLLED_BACK,
    carrying_step=ROLLED_BACK,
    after_swap=NOT_ROLLED_BACK,
    is_of_set=True,
)
"""Of a set."""


# Reactors, which a set may change as well.


class Replacement(Protocol):
    """Other reactors in place of those that there are. Making one touches nothing."""

    @property
    def plan(self) -> Sequence[PlannedReactor]:
        """What happens to each."""

    @property
    def removed(self) -> Collection[str]:
        """Names of those that go."""

    async def begin(self) -> None:
        """Have those that are new run. Raises `MmidsError` where one cannot."""

    def commit(self) -> None:
        """Change and remove the others; part of the swap. Synchronous; never fails."""

    def take_back(self) -> None:
        """Stop what `begin` has started. Synchronous."""


class NoReplacement:
    """All reactors stay as they are; see `Replacement`."""

    plan: Sequence[PlannedReactor] = ()
    removed: Collection[str] = ()

    async def begin(self) -> None:
        """Nothing begins."""

    def commit(self) -> None:
        """Nothing changes."""

    def take_back(self) -> None:
        """There is nothing to take back."""


# The machine.


class Phase(IntEnum):
    """How far a part has come; the table is at the head of this file."""

    WAITING = auto()
    BROKEN = auto()
    PREPARED = auto()
    STARTED = auto()
    DRAINED = auto()
    SWAPPED = auto()
    DONE = auto()


@define(eq=False)
class Part:
    """What one workflow does in a change. `definition` is `None` where it ends."""

    transaction: "Transaction"
    pipeline: StepPipeline
    definition: WorkflowDefinition | None
    withdraw: Callable[["Part"], None]
    """Has the workflow forget a part whose turn has not come, or that is idle."""
    retire: Callable[[], None]
    """Tells the workflow that it is over, but for the end of its steps."""
    on_settled: Callable[[], None] = lambda: None
    """Called when it is swapped, or will not be; more than once."""
    on_swapped: Callable[[], None] = lambda: None
    """Called in the swap. Synchronous; never fails."""
    is_idle: bool = False
    """Whether nothing is to be done: then the workflow's task never hears of it, and it stays WAITING to its end."""
    phase: Phase = field(default=Phase.WAITING, init=False)
    is_unchanged: bool = field(default=False, init=False)
    """Whether, when its turn came, the workflow was already as it is to be."""
    fresh: list[RunningStep] = field(factory=list, init=False)
    removed: list[RunningStep] = field(factory=list, init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around all that the workflow does for it before the swap."""
    may_start: trio.Event = field(factory=trio.Event, init=False)
    failed: RunningStep | None = field(default=None, init=False)
    """What put the workflow in error, or began the part anew."""
    remedy: Remedy = field(default=Remedy.TAKE_BACK, init=False)
    """What to do when `scope` is cancelled."""
    _awaited: Phase = field(default=Phase.DONE, init=False)
    _moved: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def advance(self, phase: Phase) -> None:
        """Be in that phase now."""
        self.phase = phase
        if phase >= Phase.SWAPPED:
            self.on_settled()
        if phase >= self._awaited:
            self._moved.unpark_all()

    def _come_to(self, phase: Phase) -> None:
        """Be in that phase, unless it was given up since the last await."""
        if not self.scope.cancel_called:
            self.advance(phase)

    async def reaches(self, phase: Phase) -> None:
        """Wait until it is in that phase, or in a later one. Only the leader waits."""
        self._awaited = phase
        while self.phase < phase:
            await self._moved.park()

    # Its turn has come: for the workflow's task.

    def prepare(self) -> None:
        """Find out what is to be done."""
        pipeline = self.pipeline
        pipeline.peers = self.transaction.pipelines
        if self.definition is None:
            pipeline.prepare_end()
        else:
            plan = pipeline.plan(self.definition, in_place=self.transaction.in_place)
            self.is_unchanged = pipeline.is_as(self.definition, plan)
            self.fresh = [] if self.is_unchanged else pipeline.prepare(plan)
        self.advance(Phase.PREPARED)

    async def come_to_swap(self, nursery: trio.Nursery) -> None:
        """From PREPARED to the swap, each phase together with the other parts; new steps run in `nursery`."""
        if self.fresh or self.pipeline.changing:
            await self._wait_for_others(self.may_start)
            self._prepare_changes()
            await trio.lowlevel.checkpoint_if_cancelled()
            failed = await self.pipeline.start(nursery, self.fresh)
            if failed is not None:
                self.fail(failed)
        self._come_to(Phase.STARTED)
        await self._wait_for_others(self.transaction.may_drain)
        if not self.is_unchanged:
            await self.pipeline.drain()
        self._come_to(Phase.DRAINED)
        await self.transaction.swapped.wait()

    def _prepare_changes(self) -> None:
        """A step that runs and cannot take other parameters is no reason to stop anything."""
        try:
            self.pipeline.prepare_changes()
        except MmidsError as error:
            self.transaction.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {self._prefix}{error}")
        except Exception as error:
            log.exception("step could not look at its parameters")
            self.transaction.give_up(
                OutcomeKind.ROLLED_BACK, f"rolled back: {self._prefix}{type(error).__name__}: {error}"
            )

    async def _wait_for_others(self, may_go_on: trio.Event) -> None:
        if self.transaction.has_others:
            await may_go_on.wait()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    def begin_anew(self) -> None:
        """Wait for its turn once more. What the leader has allowed stays allowed."""
        self.fresh, self.failed, self.remedy = [], None, Remedy.TAKE_BACK
        self.scope = trio.CancelScope()
        self.advance(Phase.WAITING)

    # Parts of the swap: not one await in them.

    def take_parameters(self, undo: ExitStack) -> None:
        """See `StepPipeline.take_parameters`."""
        if not self.is_idle and not self.is_unchanged:
            self.pipeline.take_parameters(undo)

    def relink(self) -> None:
        """See `StepPipeline.relink`."""
        if not self.is_idle and not self.is_unchanged:
            self.removed = self.pipeline.relink()

    def conclude(self) -> None:
        """See `StepPipeline.conclude`."""
        if self.definition is None:
            self.retire()
        elif self.is_idle or self.is_unchanged:
            self.pipeline.definition = self.definition
        else:
            self.pipeline.conclude(self.definition, len(self.removed))
        if self.is_idle:
            self.withdraw(self)
        self.on_swapped()
        self.advance(Phase.SWAPPED)

    # What goes wrong.

    def fail(self, failed: RunningStep) -> None:
        """A step of the workflow has failed; before the swap the policy decides what that means."""
        transaction = self.transaction
        if not transaction.is_open:
            return
        verdict = transaction.policy.new_step if failed in self.fresh else transaction.policy.carrying_step
        self.failed, self.remedy = failed, verdict.remedy
        if verdict.remedy is Remedy.BEGIN_ANEW:
            self.advance(Phase.BROKEN)
            self.scope.cancel()
        else:
            transaction.give_up(verdict.outcome, verdict.prefix + self._reason(failed))

    @property
    def failure(self) -> str | None:
        """What has failed since the swap, under the part's definition."""
        failed, definition = self.pipeline.failed, self.pipeline.definition
        return self._reason(failed) if failed is not None and definition is self.definition else None

    def _reason(self, failed: RunningStep) -> str:
        return self._prefix + reason(failed)

    @property
    def _prefix(self) -> str:
        return f"workflow '{self.pipeline.name}': " if self.transaction.policy.is_of_set else ""


@define(eq=False)
class Transaction:
    """One accepted change at work. `obstacles` says right before the swap what has come in its way."""

    change: Change[PlanView] | Change[SetPlan]
    policy: FailurePolicy
    replacement: Replacement = field(factory=NoReplacement)
    obstacles: Callable[[], Iterable[str]] = tuple
    brings_reactors: bool = False
    """Whether it says which reactors there shall be, be it those that there are."""
    is_retry: bool = False
    """Whether nobody asked for it: a workflow in error is tried again as it is."""
    in_place: bool = False
    """Whether steps that can take other parameters do so, rather than being replaced."""
    parts: list[Part] = field(factory=list, init=False)
    after: list[trio.Event] = field(factory=list, init=False)
    """Ends of changes that this one has superseded."""
    is_swapped: bool = field(default=False, init=False)
    may_drain: trio.Event = field(factory=trio.Event, init=False)
    swapped: trio.Event = field(factory=trio.Event, init=False)
    ended: trio.Event = field(factory=trio.Event, init=False)
    _verdict: Outcome | None = field(default=None, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _pipelines: dict[str, StepPipeline] = field(factory=dict, init=False)

    @property
    def pipelines(self) -> Mapping[str, StepPipeline]:
        """Those that are relinked at once, by workflow."""
        return self._pipelines

    @property
    def is_open(self) -> bool:
        """Whether it may still be given up."""
        return not self.is_swapped and self._verdict is None

    @property
    def has_others(self) -> bool:
        """Whether parts wait for each other, or for reactors."""
        return len(self.parts) > 1 or bool(self.replacement.plan)

    @property
    def changes_reactors(self) -> bool:
        """Whether other reactors shall be there than there are."""
        return any(reactor.action != "keep" for reactor in self.replacement.plan)

    @property
    def is_trivial(self) -> bool:
        """Whether nothing is to be done."""
        return all(part.is_idle for part in self.parts) and not self.change.plan.changed

    def add(self, part: Part) -> None:
        """One workflow more; before `run`."""
        self.parts.append(part)
        self._pipelines[part.pipeline.name] = part.pipeline

    # What may happen to it: synchronous, from any task.

    def give_up(self, kind: OutcomeKind, message: str) -> None:
        """Take everything back; of several reasons the first counts. After the swap it is too late."""
        if not self.is_open:
            return
        self._verdict = Outcome(kind, message)
        self._scope.cancel()
        for part in self.parts:
            if part.phase is Phase.WAITING:
                part.withdraw(part)
                part.advance(Phase.DONE)
            else:
                part.on_settled()  # before the steps end: who waits for them shall hear of it
                part.scope.cancel()

    def on_workflow_stopped(self, name: str) -> None:
        """Somebody stops one of the workflows."""
        if self.policy.is_of_set:
            self.give_up(OutcomeKind.SUPERSEDED, f"superseded by the end of workflow '{name}'")
        else:
            self._stop(f"workflow '{name}' was stopped before its update had finished")

    def on_workflow_gone(self, name: str) -> None:
        """The task of one of the workflows is over, whatever its part was at."""
        if self.policy.is_of_set:
            self.give_up(OutcomeKind.STOPPED, f"workflow '{name}' was stopped meanwhile")
        else:
            self._stop(f"workflow '{name}' was stopped before its update had finished")

    def on_server_stopped(self) -> None:
        """The server is being stopped, with all workflows. A change of one ends with that one."""
        if self.policy.is_of_set:
            self._stop(SERVER_STOPPED.message)

    def _stop(self, message: str) -> None:
        """Nobody needs it any more: tell the outcome now, whatever is left to stop."""
        outcome = Outcome(OutcomeKind.STOPPED, message)
        self.give_up(outcome.kind, outcome.message)
        if self.is_swapped or self._verdict == outcome:
            self.change.finish(outcome)

    def complete_at_once(self) -> None:
        """Carry out what is trivial, or given up already."""
        if self._verdict is None:
            self._swap()
        self._end(self._verdict or NOTHING_TO_CHANGE)

    # The leader's task.

    async def run(self) -> None:
        """Lead the parts through the phases, to the outcome."""
        outcome = SERVER_STOPPED
        try:
            with self._scope:
                await self._lead()
                self._try_to_swap()
            await self._see_off_superseded()
            for part in self._at_work:
                await part.reaches(Phase.DONE)
            outcome = self._verdict or self._outcome()
        except Exception:
            outcome = CRASHED
            self.give_up(outcome.kind, outcome.message)
            raise
        finally:
            self._end(outcome)

    @property
    def _at_work(self) -> Sequence[Part]:
        return [part for part in self.parts if not part.is_idle]

    async def _see_off_superseded(self) -> None:
        for event in self.after:
            await event.wait()

    async def _lead(self) -> None:
        """All that comes before the swap."""
        await self._see_off_superseded()
        if self.has_others:
            await self._keep_order()
        for part in self._at_work:
            await part.reaches(Phase.DRAINED)

    async def _keep_order(self) -> None:
        parts = self._at_work
        for part in parts:
            await part.reaches(Phase.PREPARED)
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._begin_reactors()
        for part in parts:
            part.may_start.set()
            with trio.move_on_after(ORDER_SECONDS):
                await part.reaches(Phase.STARTED)
        for part in parts:
            await part.reaches(Phase.STARTED)
        self.may_drain.set()

    async def _begin_reactors(self) -> None:
        try:
            await self.replacement.begin()
        except MmidsError as error:
            self.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {error}")

    def _try_to_swap(self) -> None:
        if obstacles := list(self.obstacles()):
            self.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {'; '.join(obstacles)}")
        if self.is_open and self._take_parameters():
            self._swap()

    def _take_parameters(self) -> bool:
        """The swap begins: all steps that change in place do so, or none. Whether they could."""
        try:
            with ExitStack() as undo:
                for part in self.parts:
                    part.take_parameters(undo)
                undo.pop_all()
        except Exception as error:
            log.exception("step could not take its parameters")
            self.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {type(error).__name__}: {error}")
            return False
        return True

    def _swap(self) -> None:
        """Everything changes here, and nothing else can run meanwhile: not one await, in here or below."""
        for part in self.parts:
            part.relink()
        for part in self.parts:
            part.conclude()
        self.replacement.commit()
        self.is_swapped = self.change.is_in_place = True
        self.swapped.set()

    def _outcome(self) -> Outcome:
        failures = [part.failure for part in self.parts if part.failure is not None]
        if failures:
            return Outcome(OutcomeKind.FAILED, self.policy.after_swap + "; ".join(failures))
        is_unchanged = all(part.is_idle or part.is_unchanged for part in self.parts) and not self.changes_reactors
        return NOTHING_TO_CHANGE if is_unchanged else Outcome(OutcomeKind.APPLIED, "running")

    def _end(self, outcome: Outcome) -> None:
        if not self.is_swapped:
            self.replacement.take_back()
        if self.policy.is_of_set and (self.change.plan.changed or outcome.kind is not OutcomeKind.APPLIED):
            log.info("set of workflows changed", outcome=outcome.kind.value, workflows=len(self.parts))
        self.change.finish(outcome)
        self.ended.set()
        self.parts.clear()  # each knows the transaction, and only the collector would take all of them away


CRASHED = Outcome(OutcomeKind.FAILED, "the update crashed")
NOTHING_TO_CHANGE = Outcome(OutcomeKind.APPLIED, "nothing to change")
SERVER_STOPPED = Outcome(OutcomeKind.STOPPED, "the server was stopped before the update had finished")
