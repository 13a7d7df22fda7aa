"""One step at work: its task, its scope, its inbox and outlet, and what has become of it."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

import structlog
import trio
from attrs import define, field

from mmids_trio.definitions import StepDefinition
from mmids_trio.errors import MmidsError, PortTaken, leaves
from mmids_trio.media.events import StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.catalog import STEP_EVENTS, STEP_REFUSED, STEP_STREAMS
from mmids_trio.metrics.counts import Counts, ReadCounts, count_nothing
from mmids_trio.metrics.totals import Tally, Totals
from mmids_trio.on_air.directory import OnAir
from mmids_trio.on_air.views import StreamWarning
from mmids_trio.reservation import Reservation
from mmids_trio.workflow.brought_streams import BroughtStreams, Now, Source, is_live
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.rewiring import Node
from mmids_trio.workflow.status import NO_CLIENTS, Clients, StepStatus, StreamStatus, Switched
from mmids_trio.workflow.step import ChangeInPlace, StepFactory, excludes_nobody, nothing_to_do

log = structlog.get_logger()


@define(eq=False)
class RunningStep:
    """One step of one workflow, from its creation to its end. Also the step's `StepContext`."""

    workflow: str
    step_id: str
    definition: StepDefinition
    is_leaving: Callable[[str, str], bool]
    """See `workflow.step.StepContext.is_leaving`."""
    on_failure: Callable[["RunningStep"], None]
    """Called, synchronously, when the step fails after it was ready."""
    publish: Callable[[HubEvent], None]
    """See `workflow.step.StepContext.publish`."""
    totals: Totals = field(factory=Totals)
    """Where the step is counted from its start to its end."""
    on_air: OnAir = field(factory=OnAir)
    """Where its streams are seen."""

    inbox: ChannelInbox = field(factory=ChannelInbox, init=False)
    outlet: Outlet = field(factory=Outlet, init=False)
    brought: BroughtStreams = field(init=False)
    ended: trio.Event = field(factory=trio.Event, init=False)
    status: str = field(default="Created", init=False)
    error: str | None = field(default=None, init=False)
    may_pass: bool = field(default=False, init=False)
    """Whether what it failed of may be over by itself, so that another try is worth it."""
    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    switch_to: Callable[[str], Switched] | None = field(default=None, init=False)
    """What switches the step to one of its sources, where it has several."""
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _begun: bool = field(default=False, init=False)
    _ready: bool = field(default=False, init=False)
    _reservations: list[Reservation] = field(factory=list, init=False)
    _describe_streams: Callable[[], Sequence[StreamStatus]] = field(default=tuple, init=False)
    _forget_troubles: Callable[[], None] = field(default=nothing_to_do, init=False)
    _count_clients: Callable[[], Clients] = field(default=lambda: NO_CLIENTS, init=False)
    _read_counts: ReadCounts = field(default=count_nothing, init=False)
    _tally: Tally | None = field(default=None, init=False)
    _prepare_change: Callable[[Any], ChangeInPlace] | None = field(default=None, init=False)
    _excluded: Callable[[Any], Clients] = field(default=excludes_nobody, init=False)
    _task: trio.lowlevel.Task | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.brought = BroughtStreams(self, self.on_air, self.outlet, self.definition.step_type)

    def reserve(self, reservation: Reservation) -> None:
        """See `workflow.step.StepContext.reserve`."""
        self._reservations.append(reservation)

    def show_streams(self, describe: Callable[[], Sequence[StreamStatus]]) -> None:
        """See `workflow.step.StepContext.show_streams`."""
        self._describe_streams = describe

    def show_sources(self, source: Source, now: Now = is_live) -> None:
        """See `workflow.step.StepContext.show_sources`."""
        self.brought.describe(source, now)

    def show_troubles(self, troubles: Callable[[StreamId], Iterable[StreamWarning]]) -> None:
        """See `workflow.step.StepContext.show_troubles`."""
        self._forget_troubles = self.on_air.add_output(self, troubles)

    def accept_switch(self, switch_to: Callable[[str], Switched]) -> None:
        """See `workflow.step.StepContext.accept_switch`."""
        self.switch_to = switch_to

    def accept_parameters(
        self, prepare: Callable[[Any], ChangeInPlace], excluded: Callable[[Any], Clients] = excludes_nobody
    ) -> None:
        """See `workflow.step.StepContext.accept_parameters`."""
        self._prepare_change, self._excluded = prepare, excluded

    def show_clients(self, count: Callable[[], Clients]) -> None:
        """See `workflow.step.StepContext.show_clients`."""
        self._count_clients = count

    def show_counts(self, read: ReadCounts) -> None:
        """See `workflow.step.StepContext.show_counts`."""
        self._read_counts = read

    def _counts(self) -> Counts:
        ledger = self.outlet.ledger
        return {
            (STEP_EVENTS, ()): self.outlet.passed,
            (STEP_REFUSED, ()): ledger.refused,
            (STEP_STREAMS, ()): len(ledger.streams),
            **self._read_counts(),
        }

    async def start(self, nursery: trio.Nursery, factory: Callable[[StepDefinition], StepFactory]) -> None:
        """Run the step in `nursery`; returns when it is ready, or when it has failed and `error` says why."""
        self._begun = True
        self._tally = self.totals.open((self.workflow, self.step_id, self.definition.step_type), self._counts)
        try:
            await nursery.start(self._run, factory)
        except RuntimeError:
            # What trio says of a child that ended before it was ready. The reason stands in `error`, unless the
            # start was cancelled and the step has swallowed that.
            if self.error is None and not _is_cancelled():
                raise
            return
        if self.error is None:
            # Not when the child calls `started()`: trio lets that call return even if `start` was cancelled.
            self._ready = True
            self.status = "Active"

    async def _run(
        self, factory: Callable[[StepDefinition], StepFactory], *, task_status: trio.TaskStatus[None]
    ) -> None:
        """The wall around a step: nothing but cancellation gets past it."""
        structlog.contextvars.bind_contextvars(workflow=self.workflow, step_id=self.step_id)
        self._task = trio.lowlevel.current_task()
        try:
            with self._scope:
                step = factory(self.definition)(self)
                self.flow = self.brought.flow = step.flow
                await step.run(self.inbox, self.outlet, task_status=task_status)
                self._fail("the step ended by itself")
        except* MmidsError as group:
            first = next(leaves(group))
            self.may_pass = isinstance(first, PortTaken)
            self._fail(str(first))
        except* Exception as group:
            log.exception("step crashed", step_type=self.definition.step_type)
            first = next(leaves(group))
            self._fail(f"{type(first).__name__}: {first}")
        finally:
            self._end()

    def _fail(self, message: str) -> None:
        if self.error is not None or self._scope.cancel_called or _is_cancelled():
            return  # what goes wrong while it is being cancelled is no failure
        self.error = message
        self.status = f"Error: {message}"
        log.error("step failed", step_type=self.definition.step_type, reason=message)
        if self._ready:
            self.on_failure(self)

    def _end(self) -> None:
        if self.error is None:
            self.status = "Shut Down"
        self.outlet.detach()
        self.outlet.ledger.end_all()
        self.brought.close()
        self._forget_troubles()
        if self._tally is not None:
            self.totals.close(self._tally)
        self.ended.set()

    def commit(self) -> None:
        """Turn what the step has reserved into claims; part of the swap."""
        reservations, self._reservations = self._reservations, []
        for reservation in reservations:
            reservation.commit()

    # Other parameters, while it runs on.

    @property
    def takes_parameters(self) -> bool:
        """Whether parameters of it can change in place."""
        return self._prepare_change is not None and not self.ended.is_set()

    def excluded(self, parameters: object) -> Clients:
        """How many clients a change to these would cut now."""
        return self._excluded(parameters)

    def prepare_change(self, parameters: object) -> ChangeInPlace:
        """What a change to these is. Raises `StepError` where it cannot be."""
        assert self._prepare_change is not None
        return self._prepare_change(parameters)

    def become(self, step_id: str, definition: StepDefinition) -> None:
        """Have other parameters, and so another identity; part of the swap."""
        self.step_id, self.definition = step_id, definition
        if self._tally is not None:
            self._tally = self.totals.move(self._tally, (self.workflow, step_id, definition.step_type))
        if self._task is not None:
            self._task.context.run(structlog.contextvars.bind_contextvars, step_id=step_id)

    def cancel(self) -> None:
        """Begin the step's end: cut its output, cancel its scope. `ended` tells when nothing of it is left."""
        self.outlet.detach()
        self._scope.cancel()
        if not self._begun:
            self._end()

    @property
    def is_drained(self) -> bool:
        """Whether nothing is in flight inside the step, as far as that matters."""
        return self.flow is not Flow.PASSES_ON or self.inbox.is_at_rest

    def node(self, *, is_new: bool) -> Node:
        """The step as the rewiring sees it."""
        return Node(self.step_id, self.flow, self.outlet.ledger, is_new=is_new, drained=is_new or self.is_drained)

    def _on_air(self) -> Iterable[str]:
        """Ids of the streams that are live behind it, each once."""
        found = (self.on_air.stream_of(stream_id) for stream_id in self.outlet.ledger.streams)
        return (entry.id for entry in found if entry is not None)

    def describe(self) -> StepStatus:
        """The step as the outside sees it."""
        definition = self.definition
        streams, clients = (
            ((), NO_CLIENTS) if self.ended.is_set() else (self._describe_streams(), self._count_clients())
        )
        return StepStatus(
            self.step_id,
            definition.step_type,
            definition.shown_parameters(),
            self.status,
            tuple(streams),
            clients,
            on_air=tuple(self._on_air()),
            state=None if self.error is None else "error",
            reason=self.error,
        )


def _is_cancelled() -> bool:
    """Whether a scope around the calling task's place is cancelled."""
    return trio.current_effective_deadline() == -inf
