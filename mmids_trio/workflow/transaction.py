"""A set of workflows changed at once: all of it, or nothing.

Each workflow carries its part out in its own task; the transaction leads the parts from phase to phase: their turns
come, new steps start in order, all come to rest side by side, one synchronous function swaps everything, and each
stops what was taken out.  Until the swap anything that goes wrong takes all parts back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
import trio
from attrs import define, field

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.workflow.cell import Cell
from mmids_trio.workflow.line import Line, reason
from mmids_trio.workflow.replacing import Replacement
from mmids_trio.workflow.sets import SetPlan
from mmids_trio.workflow.status import Outcome, OutcomeKind

log = structlog.get_logger()

ORDER_SECONDS = 1.0
"""How long the new steps of one workflow are waited for before those of the next start beside them, as at the start of
the server: the order decides who gets what two want, and one slow start does not hold up all others."""


class Member(Protocol):
    """A workflow, as far as a transaction needs it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def line(self) -> Line:
        """Its steps."""

    def withdraw(self, part: "Part") -> None:
        """Forget a part whose turn has not come, or that is idle."""

    def retire(self) -> None:
        """The workflow is over, but for the end of its steps."""


@define(eq=False)
class Part:
    """What one workflow does in a transaction. `definition` is `None` where it ends."""

    transaction: "Transaction"
    member: Member
    definition: WorkflowDefinition | None
    is_idle: bool = False
    """Whether nothing is to be done: then the workflow's task never hears of it."""
    fresh: list[Cell] = field(factory=list, init=False)
    removed: list[Cell] = field(factory=list, init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around all that the workflow does for it before the swap."""
    arrived: trio.Event = field(factory=trio.Event, init=False)
    """The workflow has done what it did before, and `fresh` is made."""
    may_start: trio.Event = field(factory=trio.Event, init=False)
    started: trio.Event = field(factory=trio.Event, init=False)
    settled: trio.Event = field(factory=trio.Event, init=False)
    done: trio.Event = field(factory=trio.Event, init=False)
    """Everything is stopped that was taken out, or taken back."""

    def rewire(self) -> None:
        """See `Line.rewire`."""
        if not self.is_idle:
            self.removed = self.member.line.rewire()

    def conclude(self) -> None:
        """See `Line.conclude`."""
        line = self.member.line
        if self.definition is None:
            self.member.retire()
        elif self.is_idle:
            line.definition = self.definition
            self.member.withdraw(self)
        else:
            line.conclude(self.definition, len(self.removed))

    def fail(self, failed: Cell) -> None:
        """A step of the workflow's has failed; before the swap that takes everything back."""
        self.transaction.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {self._reason(failed)}")

    @property
    def failure(self) -> str | None:
        """What has failed since the swap, under the part's definition."""
        line = self.member.line
        return self._reason(line.failed) if line.failed is not None and line.definition is self.definition else None

    def _reason(self, failed: Cell) -> str:
        return f"workflow '{self.member.name}': {reason(failed)}"


@define(eq=False)
class SetChange:
    """One accepted set. It belongs to the workflows' tasks; callers only watch it."""

    plan: SetPlan
    is_in_place: bool = field(default=False, init=False)
    """Whether the swap has happened: then it stays, whatever the outcome is."""
    _done: trio.Event = field(factory=trio.Event, init=False)
    _outcome: Outcome | None = field(default=None, init=False)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; `None` while it goes on."""
        return self._outcome

    async def wait(self) -> Outcome:
        """Wait for the outcome. Cancelling the wait does nothing to the change."""
        await self._done.wait()
        assert self._outcome is not None
        return self._outcome

    def finish(self, outcome: Outcome) -> None:
        """Settle the outcome; the first one counts."""
        if self._outcome is None:
            self._outcome = outcome
            self._done.set()


@define(eq=False)
class Transaction:
    """One accepted set at work. `obstacles` says right before the swap what has come in its way."""

    change: SetChange
    replacement: Replacement
    obstacles: Callable[[], Iterable[str]] = tuple
    brings_reactors: bool = False
    """Whether it says which reactors there shall be, be it those that there are."""
    parts: list[Part] = field(factory=list, init=False)
    after: list[trio.Event] = field(factory=list, init=False)
    """Ends of transactions that this one has superseded."""
    is_swapped: bool = field(default=False, init=False)
    may_settle: trio.Event = field(factory=trio.Event, init=False)
    swapped: trio.Event = field(factory=trio.Event, init=False)
    ended: trio.Event = field(factory=trio.Event, init=False)
    _verdict: Outcome | None = field(default=None, init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _lines: dict[str, Line] = field(factory=dict, init=False)

    @property
    def lines(self) -> Mapping[str, Line]:
        """Those that swap in one, by workflow."""
        return self._lines

    @property
    def is_open(self) -> bool:
        """Whether it may still be given up."""
        return not self.is_swapped and self._verdict is None

    @property
    def changes_reactors(self) -> bool:
        """Whether other reactors shall be there than there are."""
        return any(reactor.action != "keep" for reactor in self.change.plan.reactors)

    @property
    def is_trivial(self) -> bool:
        """Whether nothing is to be done."""
        return all(part.is_idle for part in self.parts) and not self.change.plan.changed

    def add(self, part: Part) -> None:
        """One workflow more; before `run`."""
        self.parts.append(part)
        self._lines[part.member.name] = part.member.line

    # What may happen to it: synchronous, from any task.

    def give_up(self, kind: OutcomeKind, message: str) -> None:
        """Take everything back; of several reasons the first counts. After the swap it is too late."""
        if not self.is_open:
            return
        self._verdict = Outcome(kind, message)
        self._scope.cancel()
        for part in self.parts:
            if part.arrived.is_set():
                part.scope.cancel()
            else:
                part.member.withdraw(part)
                part.done.set()

    def stop(self) -> None:
        """The server is being stopped."""
        outcome = Outcome(OutcomeKind.STOPPED, "the server was stopped before the update had finished")
        if self.is_swapped:
            self.change.finish(outcome)
        else:
            self.give_up(outcome.kind, outcome.message)

    def complete_at_once(self) -> None:
        """Carry out what is trivial, or given up already."""
        if self._verdict is None:
            self._swap()
        self._end(self._verdict or Outcome(OutcomeKind.APPLIED, "nothing to change"))

    # Its own task.

    async def run(self) -> None:
        """Lead the parts through the phases, to the outcome."""
        outcome = Outcome(OutcomeKind.STOPPED, "the server was stopped before the update had finished")
        try:
            with self._scope:
                await self._prepare()
                self._try_to_swap()
            for event in self.after:
                await event.wait()
            for part in self._at_work:
                await part.done.wait()
            outcome = self._verdict or self._outcome()
        except Exception:
            self.give_up(OutcomeKind.FAILED, "the update crashed")
            raise
        finally:
            self._end(outcome)

    @property
    def _at_work(self) -> Sequence[Part]:
        return [part for part in self.parts if not part.is_idle]

    async def _prepare(self) -> None:
        """All that comes before the swap."""
        for event in self.after:
            await event.wait()
        at_work = self._at_work
        for part in at_work:
            await part.arrived.wait()
        await self._begin_reactors()
        for part in at_work:
            part.may_start.set()
            if part.fresh and not part.started.is_set():
                with trio.move_on_after(ORDER_SECONDS):
                    await part.started.wait()
        for part in at_work:
            await part.started.wait()
        self.may_settle.set()
        for part in at_work:
            await part.settled.wait()

    async def _begin_reactors(self) -> None:
        try:
            await self.replacement.begin()
        except MmidsError as error:
            self.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {error}")

    def _try_to_swap(self) -> None:
        if obstacles := list(self.obstacles()):
            self.give_up(OutcomeKind.ROLLED_BACK, f"rolled back: {'; '.join(obstacles)}")
        if self.is_open:
            self._swap()

    def _swap(self) -> None:
        """Everything changes here, and nothing else can run meanwhile: not one await, in here or below."""
        for part in self.parts:
            part.rewire()
        for part in self.parts:
            part.conclude()
        self.replacement.commit()
        self.is_swapped = self.change.is_in_place = True
        self.swapped.set()

    def _outcome(self) -> Outcome:
        failures = [part.failure for part in self.parts if part.failure is not None]
        if failures:
            return Outcome(OutcomeKind.FAILED, f"not rolled back: {'; '.join(failures)}")
        return Outcome(OutcomeKind.APPLIED, "running")

    def _end(self, outcome: Outcome) -> None:
        if not self.is_swapped:
            self.replacement.take_back()
        if self.change.plan.changed or outcome.kind is not OutcomeKind.APPLIED:
            log.info("set of workflows changed", outcome=outcome.kind.value, workflows=len(self.parts))
        self.change.finish(outcome)
        self.ended.set()
