"""`workflow_forwarder`: hand every stream also to another workflow, and pass it on."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.config.converters import text
from mmids_trio.config.parameters import parameter
from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.reactors.asker import Asker
from mmids_trio.steps.approval import KnownReactor, KnownReactors, LeaseHold, find_reactor, reactor_problems
from mmids_trio.steps.registry import StepType
from mmids_trio.stream_request import StreamRequest
from mmids_trio.workflow.forwarding import ForwardingTable, Route
from mmids_trio.workflow.replay import Ledger
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()


@frozen
class ForwarderParameters:
    """A forwarder has one target, or a reactor that names them."""

    target_workflow: str | None = parameter(text, default=None)
    reactor: str | None = parameter(text, default=None)

    def target_conflicts(self) -> Iterable[str]:
        """What is wrong with the two together."""
        if (self.target_workflow is None) == (self.reactor is None):
            yield "expected exactly one of 'target_workflow' and 'reactor'"


def connect(forwarding: ForwardingTable, context: StepContext, target: str, events: Sequence[MediaEvent] = ()) -> Route:
    """A way from the step of that `context`; see `ForwardingTable.connect`."""
    return forwarding.connect(context.workflow, target, events, step_id=context.step_id, is_leaving=context.is_leaving)


@frozen
class WorkflowForwarder:
    """See the module."""

    target: str
    forwarding: ForwardingTable
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready at once: whether the target runs does not matter."""
        route = connect(self.forwarding, self.context, self.target)
        try:
            task_status.started()
            while True:
                events = await inbox.receive()
                route.forward(events)
                await outbox.send(events)
        finally:
            route.close()


@define(eq=False)
class _RoutedStream:
    """One stream, and where a reactor wants it to go."""

    context: StepContext
    forwarding: ForwardingTable
    reactor: KnownReactor
    started: StreamStarted
    ledger: Ledger = field(factory=Ledger, init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _routes: dict[str, Route] = field(factory=dict, init=False)
    _hold: LeaseHold = field(init=False)
    """Whose answers are followed."""
    _next: LeaseHold = field(init=False)
    """Another one after a takeover, whose first answer is not followed yet; else the same."""
    _followed: LeaseHold | None = field(default=None, init=False)
    """Whose first answer was there, and is followed."""
    _has_next: trio.Event = field(factory=trio.Event, init=False)

    def ask(self) -> None:
        """Ask. What is known already (somebody else asked before) holds for the very first frame. `run` must follow."""
        self.ledger.admit([self.started])
        self._hold = self._next = self._take_hold()
        if self.started.origin is not None:
            self.started.origin.listen(self._ask_anew)
        if self._hold.is_valid is not None:
            self._go_over()

    def _take_hold(self) -> LeaseHold:
        origin = self.started.origin
        request = StreamRequest(key=self.started.stream_name) if origin is None else origin.request
        asker = Asker(f"step {self.context.step_id} of workflow {self.context.workflow}")
        return self.reactor.hold(request, self._follow, asker)

    def _ask_anew(self) -> None:
        """Another publisher has the stream. Until there is an answer about that one, the stream goes where it goes."""
        self._release_next()
        self._next = self._take_hold()
        if self._next.is_valid is not None:
            self._go_over()
        self._has_next.set()

    def _go_over(self) -> None:
        """Follow the next one; where both want the same, nobody notices."""
        if self._followed is self._next:
            return
        former, self._hold = self._hold, self._next
        self._followed = self._hold
        self._follow()
        if former is not self._hold:
            former.release()

    def _release_next(self) -> None:
        if self._next is not self._hold:
            self._next.release()

    async def run(self) -> None:
        """Keep the routes as the answers say, until cancelled."""
        with self.scope:
            try:
                while True:
                    self._has_next = trio.Event()
                    await _first_of(self._next.wait_answer, self._has_next.wait)
                    if self._next.is_valid is not None:
                        self._go_over()
                        await self._has_next.wait()
            finally:
                if self.started.origin is not None:
                    self.started.origin.ignore(self._ask_anew)
                self._release_next()
                self._hold.release()
                self._follow_to(())

    def forward(self, events: Sequence[MediaEvent]) -> None:
        """Send events wherever the stream goes now."""
        admitted = self.ledger.admit(events)
        for route in self._routes.values():
            route.forward(admitted)

    def _follow(self) -> None:
        self._follow_to(self._hold.routable if self._hold.is_valid else ())

    def _follow_to(self, targets: Sequence[str]) -> None:
        for target in [target for target in self._routes if target not in targets]:
            self._routes.pop(target).close()
        for target in targets:
            if target not in self._routes and (memory := self.ledger.streams.get(self.started.stream_id)):
                try:
                    self._routes[target] = connect(self.forwarding, self.context, target, memory.replay())
                except StepError as error:
                    log.error("stream cannot be forwarded", stream=self.started.stream_name, reason=str(error))


async def _first_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Until one of them is over."""
    async with trio.open_nursery() as nursery:

        async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(end_with, wait)


@frozen
class ReactorForwarder:
    """Sends each stream where a reactor says."""

    reactor: KnownReactor
    forwarding: ForwardingTable
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready at once; a stream goes nowhere before the reactor has answered."""
        async with trio.open_nursery() as nursery:
            streams = _RoutedStreams(self, nursery)
            task_status.started()
            while True:
                events = await inbox.receive()
                streams.forward(events)
                await outbox.send(events)


@define(eq=False)
class _RoutedStreams:
    """The live streams of a forwarder with a reactor; each has a task in `nursery`."""

    forwarder: ReactorForwarder
    nursery: trio.Nursery
    _live: dict[StreamId, _RoutedStream] = field(factory=dict, init=False)

    def forward(self, events: Sequence[MediaEvent]) -> None:
        """Send a batch on its ways: what it holds of one stream stays one batch, for inboxes count batches."""
        batches: dict[StreamId, list[MediaEvent]] = {}
        for event in events:
            if isinstance(event, StreamStarted):
                self._begin(event)
            elif event.stream_id in self._live:
                batches.setdefault(event.stream_id, []).append(event)
                if isinstance(event, StreamEnded):
                    self._live[event.stream_id].forward(batches.pop(event.stream_id))
                    self._live.pop(event.stream_id).scope.cancel()
        for stream_id, batch in batches.items():
            self._live[stream_id].forward(batch)

    def _begin(self, started: StreamStarted) -> None:
        forwarder = self.forwarder
        stream = _RoutedStream(forwarder.context, forwarder.forwarding, forwarder.reactor, started)
        self._live[started.stream_id] = stream
        stream.ask()
        self.nursery.start_soon(stream.run)


def workflow_forwarder(forwarding: ForwardingTable, reactors: KnownReactors) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: ForwarderParameters, context: StepContext) -> Step:
        reactor = find_reactor(parameters.reactor, reactors)
        if reactor is not None:
            return ReactorForwarder(reactor, forwarding, context)
        assert parameters.target_workflow is not None
        return WorkflowForwarder(parameters.target_workflow, forwarding, context)

    def conflicts(parameters: ForwarderParameters) -> Iterable[str]:
        return [*parameters.target_conflicts(), *reactor_problems(parameters.reactor, reactors)]

    return StepType(
        "workflow_forwarder", ForwarderParameters, build, aliases=("forward_to_workflow",), conflicts=conflicts
    )
