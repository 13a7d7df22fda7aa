"""The steps of one workflow, wired one behind the other, and the phases of changing them.

Apart from the workflow and its changes, which decide what is carried out and when.  A change prepares its new steps,
starts them, drains what it touches, relinks everything in one synchronous function, and stops what it has taken out.

To drain, the pipeline works down the changed segment: from the first step on, it closes the gate into a step and waits
until the step has worked off its inbox and waits for input again; then all that the step was given stands in the next
link.  Steps that emit without input are held at the gate of their output.  At the end nothing is in flight.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from random import random
from typing import Protocol

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.catalog import WORKFLOW_DROPPED, WORKFLOW_FAILED, WORKFLOW_STEPS
from mmids_trio.metrics.counts import Counts
from mmids_trio.metrics.totals import Totals
from mmids_trio.offload import Offload, Work, in_thread
from mmids_trio.on_air.directory import OnAir
from mmids_trio.outside_values import OutsideValues
from mmids_trio.workflow.events import StepChanged, StreamWentLive, StreamWentOff, WorkflowFailed, WorkflowStarted
from mmids_trio.workflow.forwarding import ForwardingTable, Inlet
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.plan import NOT_IN_PLACE, Changeable, Plan, WantedStep, changed_segment, make_plan
from mmids_trio.workflow.rewiring import Node, rewire
from mmids_trio.workflow.running_step import RunningStep
from mmids_trio.workflow.status import Clients
from mmids_trio.workflow.step import ChangeInPlace, StepFactory

log = structlog.get_logger()

DRAIN_SECONDS = 1.0
"""How long draining may take for the whole workflow (the specification's figure)."""


class StepFactories(Protocol):
    """Where a workflow gets its steps from."""

    def factory(self, definition: StepDefinition) -> StepFactory:
        """What builds the step, from a definition that was validated before."""

    def in_place(self, step_type: str) -> frozenset[str]:
        """Names of the parameters of which a running step of that kind can take other values."""

    def read(self, definition: StepDefinition) -> object:
        """The parameters of a step as what it works with, from a definition that was validated before."""

    def works(self, definition: WorkflowDefinition) -> Iterable[Work]:
        """What a definition, validated or not, needs to have been done in a thread, so that the loop does not wait."""

    def announce(self, definition: WorkflowDefinition) -> Callable[[], None]:
        """Tell whom it concerns that the steps of a validated definition will start; returns what takes that back."""


@frozen
class SharedServices:
    """What workflows of one server share. `random`: numbers from 0 to 1, for the jitter of what is tried again.

    `outside` comes to know which values of their parameters came from outside, and are told to nobody.
    """

    forwarding: ForwardingTable = field(factory=ForwardingTable)
    hub: EventHub = field(factory=EventHub)
    totals: Totals = field(factory=Totals)
    random: Callable[[], float] = random
    outside: OutsideValues = field(factory=OutsideValues)
    on_air: OnAir = field(factory=OnAir)
    """Where their streams are seen."""
    offload: Offload = in_thread
    """Where what they need is imported."""


@define(eq=False)
class Head:
    """The place in front of the first step, where other workflows' streams enter if that step takes input."""

    step_id: str = field(default="", init=False)
    flow: Flow = field(default=Flow.PRODUCES, init=False)
    is_drained: bool = field(default=True, init=False)
    outlet: Outlet = field(factory=Outlet, init=False)

    def node(self, *, is_new: bool) -> Node:
        """The place as the rewiring sees it."""
        return Node(self.step_id, self.flow, self.outlet.ledger, is_new=is_new)


Place = RunningStep | Head


@define
class Changing:
    """A step that takes other parameters in the change that is being carried out."""

    step: RunningStep
    wanted: WantedStep
    change: ChangeInPlace | None = None
    """What it will do, once that is known."""


class StepPipeline:
    """The steps of one workflow. `on_trouble` is called, synchronously, when a step fails that was ready."""

    def __init__(
        self,
        name: str,
        factories: StepFactories,
        shared: SharedServices,
        on_trouble: Callable[[RunningStep], None],
    ) -> None:
        self.name = name
        self.steps: list[RunningStep] = []
        """Those that carry media (or have failed), in order."""
        self.inlet = Inlet()
        self.definition: WorkflowDefinition | None = None
        """What carries media (or has failed) now; `None` before the first swap."""
        self.failed: RunningStep | None = None
        self.is_breaking = False
        """Whether a step that carries media has failed and the others are not shut down yet."""
        self.wanted: list[RunningStep] = []
        """All steps of the change that is being carried out, until its swap."""
        self.changing: list[Changing] = []
        """Those of them that run already, and take other parameters in its swap."""
        self.leaving: frozenset[str] = frozenset()
        self.peers: Mapping[str, StepPipeline] = {}
        """The pipelines, by workflow, that the same change relinks."""
        self._factories = factories
        self._forwarding = shared.forwarding
        self._publish = shared.hub.publish
        self._totals = shared.totals
        self._on_air = shared.on_air
        self._on_trouble = on_trouble
        self._head = Head()
        self._gated: list[Place] = []

    @property
    def ids(self) -> tuple[str, ...]:
        """Identities of the steps, in order."""
        return _ids(self.steps)

    @property
    def running(self) -> list[RunningStep]:
        """The steps that are at work: all of them, or none after the workflow has failed."""
        return [step for step in self.steps if not step.ended.is_set()]

    def counts(self) -> Counts:
        """How the workflow as a whole stands."""
        return {
            (WORKFLOW_FAILED, ()): int(self.failed is not None),
            (WORKFLOW_STEPS, ()): 0 if self.failed else len(self.steps),
            (WORKFLOW_DROPPED, ()): self.inlet.dropped_groups,
        }

    def plan(self, definition: WorkflowDefinition, *, in_place: bool = False) -> Plan:
        """What `definition` would change, compared with what carries media now.

        `in_place`: whether steps that can take other parameters do so, rather than being replaced.
        """
        if self.failed:
            return make_plan((), definition)
        return make_plan(self.ids, definition, self._changeable() if in_place else NOT_IN_PLACE)

    def _changeable(self) -> Mapping[str, Changeable]:
        return {
            step.step_id: Changeable(step.definition, names)
            for step in self.steps
            if step.takes_parameters and (names := self._factories.in_place(step.definition.step_type))
        }

    def excluded(self, plan: Plan) -> Mapping[str, Clients]:
        """How many clients of each step that changes in place would be cut now, by its id so far."""
        steps = {step.step_id: step for step in self.steps}
        return {
            each.before: steps[each.before].excluded(self._factories.read(each.wanted.definition))
            for each in plan.change
        }

    def is_as(self, definition: WorkflowDefinition, plan: Plan | None = None) -> bool:
        """Whether the steps run already as `definition` says."""
        if self.definition is None or self.failed is not None:
            return False
        return self.definition == definition or (plan or self.plan(definition)).is_empty

    # Prepare and start.

    def prepare(self, plan: Plan) -> list[RunningStep]:
        """Make the new steps; nothing of them runs yet."""
        fresh = {step.step_id: self._make(step) for step in plan.start}
        running = {} if self.failed else {step.step_id: step for step in self.steps}
        self.changing = [Changing(running[each.before], each.wanted) for each in plan.change]
        known = {**running, **fresh, **{each.wanted.step_id: each.step for each in self.changing}}
        self.wanted = [known[step_id] for step_id in plan.order]
        self.leaving = frozenset(plan.stop)
        return list(fresh.values())

    def prepare_end(self) -> None:
        """All steps are to go."""
        self.wanted, self.leaving = [], frozenset(self.ids)

    def _make(self, wanted: WantedStep) -> RunningStep:
        step = RunningStep(
            self.name,
            wanted.step_id,
            wanted.definition,
            self._is_leaving,
            self._on_step_failure,
            self._publish,
            self._totals,
            self._on_air,
        )
        step.outlet.ledger.on_stream = partial(self._on_stream, step)
        return step

    def _on_stream(self, step: RunningStep, started: StreamStarted, is_live: bool) -> None:
        """A stream has begun or ended behind a step; only those that produce bring it in."""
        step.brought.on_stream(started, is_live)
        if step.flow is Flow.PRODUCES and started.stream_id not in self.inlet.streams:
            kind = StreamWentLive if is_live else StreamWentOff
            self._publish(kind(self.name, step.step_id, started.stream_id, started.stream_name))

    def _is_leaving(self, workflow: str, step_id: str) -> bool:
        pipeline = self if workflow == self.name else self.peers.get(workflow)
        return pipeline is not None and step_id in pipeline.leaving

    def _on_step_failure(self, step: RunningStep) -> None:
        if self.failed is None and step in self.steps:
            self.failed, self.is_breaking = step, True
        self._on_trouble(step)

    async def start(self, nursery: trio.Nursery, fresh: Sequence[RunningStep]) -> RunningStep | None:
        """Start the new steps; returns the first that fails, and does not start those behind it.

        One after another: which of two that want the same thing gets it is decided by their order, not by chance.
        """
        for step in fresh:
            await step.start(nursery, self._factories.factory)
            if step.error is not None:
                return step
        return None

    def prepare_changes(self) -> None:
        """Have the steps that take other parameters look at them. Raises what one of them does; nothing has changed."""
        for changing in self.changing:
            changing.change = changing.step.prepare_change(self._factories.read(changing.wanted.definition))

    # Drain.

    async def drain(self) -> None:
        """Bring the segment that the change touches to rest, or give up after `DRAIN_SECONDS`.

        Leaves gates closed: `relink` or `release` must follow.
        """
        running = self._sequence(self.running)
        segment = changed_segment(_ids(running), _ids(self._sequence(self.wanted)))
        touched = running[segment.prefix : len(running) - segment.suffix]
        if not touched:
            return
        with trio.move_on_after(DRAIN_SECONDS) as scope:
            if segment.prefix:
                self._close_gate(running[segment.prefix - 1])
            for place in touched:
                if isinstance(place, RunningStep) and place.flow is Flow.PASSES_ON:
                    await place.inbox.wait_rest()
                self._close_gate(place)
        if scope.cancelled_caught:
            busy = [place.step_id for place in touched if not place.is_drained]
            log.warning("steps did not come to rest before a change", steps=busy, seconds=DRAIN_SECONDS)

    def _close_gate(self, place: Place) -> None:
        place.outlet.close_gate()
        self._gated.append(place)

    def release(self) -> None:
        """Let media flow again after a drained change was given up (or carried out)."""
        gated, self._gated = self._gated, []
        for place in gated:
            place.outlet.open_gate()
        self.inlet.let_go_on()

    # Take and relink: not one await from here to the end of `conclude`.

    def take_parameters(self, undo: ExitStack) -> None:
        """Have the steps that take other parameters do so; `undo` gets what takes that back."""
        for changing in self.changing:
            assert changing.change is not None
            undo.callback(changing.change.take())

    def relink(self) -> list[RunningStep]:
        """Wire the wanted steps, all of them ready; returns what was taken out, cancelled."""
        before, self.steps = self.running, list(self.wanted)
        kept = frozenset(self.steps)
        removed = [step for step in before if step not in kept]
        self._connect(self._sequence(before), self._sequence(self.steps))
        for step in self.steps:
            step.commit()
        for step in removed:
            _count_losses(step)
            step.cancel()
        self.release()
        return removed

    def _sequence(self, steps: Sequence[RunningStep]) -> list[Place]:
        """The steps behind the place where other workflows' streams enter: the first step, where that only produces."""
        return list(steps) if steps and steps[0].flow is Flow.PRODUCES else [self._head, *steps]

    def _connect(self, before: Sequence[Place], after: Sequence[Place]) -> None:
        old = frozenset(before)
        nodes = {place: place.node(is_new=place not in old) for place in (*before, *after)}
        segment = changed_segment(_ids(before), _ids(after))
        deliveries = rewire(
            [nodes[place] for place in before], [nodes[place] for place in after], segment, self.inlet.streams
        )
        told = {delivery.step_id: delivery for delivery in deliveries}
        self._head.outlet.connect(None)
        for place, following in zip_longest(after, after[1:]):
            delivery = told.get(place.step_id)
            place.outlet.connect(_inbox_of(following), suppressed=delivery.suppressed if delivery else ())
            if delivery and isinstance(place, RunningStep):
                place.inbox.carry(delivery.events)
        self.inlet.enter_through(after[0].outlet)

    def conclude(self, definition: WorkflowDefinition, removed: int) -> None:
        """The steps carry media as defined now, and other workflows may send to them."""
        self._forwarding.open(self.name, self.inlet)
        if self.definition is None or self.failed is not None:
            self._publish(WorkflowStarted(self.name))
        changed = len(self.changing)
        self._conclude_changes()
        self.definition, self.failed = definition, None
        self.forget()
        log.info("workflow changed", workflow=self.name, steps=len(self.steps), stopped=removed, in_place=changed)

    def _conclude_changes(self) -> None:
        """The steps that took other parameters are others now, and part with whom these exclude."""
        for changing in self.changing:
            step, before = changing.step, changing.step.step_id
            step.become(changing.wanted.step_id, changing.wanted.definition)
            self._publish(StepChanged(self.name, step.step_id, before, step.definition.step_type))
        for changing in self.changing:
            assert changing.change is not None
            try:
                changing.change.conclude()
            except Exception:
                log.exception("step could not part with its clients", step_id=changing.step.step_id)

    def forget(self) -> None:
        """The change that was being carried out is over."""
        self.wanted, self.changing, self.leaving, self.peers = [], [], frozenset(), {}

    # The ends.

    def fail(self, definition: WorkflowDefinition, failed: RunningStep, *, is_news: bool) -> set[RunningStep]:
        """Be in error under a new definition; returns all steps, which are to be stopped."""
        everyone = {*self.steps, *self.wanted}
        for changing in self.changing:
            changing.step.become(changing.wanted.step_id, changing.wanted.definition)
        self.steps, self.wanted = self.wanted, []
        self.definition, self.failed = definition, failed
        self.is_breaking = False  # should a step that carried media have failed as well, it is shut down with the rest
        self.release()
        self.close()
        if is_news:
            self._publish(WorkflowFailed(self.name, reason(failed)))
        return everyone

    async def break_down(self) -> None:
        """A step failed while it carried media: shut down the others."""
        log.error("workflow failed", reason=self.failed and self.failed.error)
        self.close()
        if self.failed is not None:
            self._publish(WorkflowFailed(self.name, reason(self.failed)))
        await stop(self.steps)
        self.is_breaking = False

    def close(self) -> None:
        """Let nothing in from other workflows any more."""
        self._forwarding.close(self.name, self.inlet)


def reason(step: RunningStep) -> str:
    """Why a step has failed, for outcomes and statuses."""
    return f"Step id {step.step_id} failed: {step.error}"


async def stop(steps: Sequence[RunningStep] | set[RunningStep]) -> None:
    """Cancel steps side by side and wait until nothing of them is left."""
    for step in steps:
        step.cancel()
    for step in steps:
        await step.ended.wait()


def _ids(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(place.step_id for place in places)


def _inbox_of(place: Place | None) -> ChannelInbox | None:
    """Where the step in front of `place` delivers to: nowhere, at the end or before a step that only produces."""
    return place.inbox if isinstance(place, RunningStep) and place.flow is not Flow.PRODUCES else None


def _count_losses(step: RunningStep) -> None:
    lost = step.inbox.discard()
    if lost and step.flow is not Flow.REPLACES:
        log.warning("media lost with a step that did not come to rest", step=step.step_id, at_most=lost)
