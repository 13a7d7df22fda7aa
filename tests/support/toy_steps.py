"""A bench for workflows: toy steps that do what a test tells them, and note all that reaches them.

Definitions are written as words: `"source:a"` is a step of kind `source` whose label is `a`; words after it are its
habits (`"recorder:b waits refuses"`).  Kinds: `source` (produces what the test sends through it), `recorder` (passes
on), `slow` (passes on each batch a while after it came), `stuck` (never passes on what it took), `replacer` (replaces
media).  The registry of the bench stands in for the real one.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeGuard

import trio
from attrs import define, evolve, field

from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId, StreamMetadata
from mmids_trio.media.flow import Flow
from mmids_trio.media.timeline import shifted
from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, StepContext, StepFactory

SLOWNESS = 0.01
"""Seconds that a slow step holds each batch."""

REPLACERS_OFFSET = 3_600_000
"""Milliseconds by which the clock of a replacer's media is behind that of its source (ahead of it, by habit)."""

FLOWS: Mapping[str, Flow] = {
    "source": Flow.PRODUCES,
    "recorder": Flow.PASSES_ON,
    "slow": Flow.PASSES_ON,
    "stuck": Flow.PASSES_ON,
    "replacer": Flow.REPLACES,
}


def definition(name: str, *steps: str, routed: bool = False) -> WorkflowDefinition:
    """A workflow of toy steps, each written as `kind:label habit ...`."""
    return WorkflowDefinition(name, tuple(_step(step) for step in steps), routed_by_reactor=routed)


def _step(text: str) -> StepDefinition:
    head, *habits = text.split()
    kind, label = head.split(":")
    given = (habit.partition("=") for habit in habits)
    return StepDefinition(kind, {"label": label, **{name: value or None for name, _, value in given}})


@define(eq=False)
class ToyReservation:
    """Notes how often it was committed."""

    commits: int = 0

    def commit(self) -> None:
        """See `reservation.Reservation`."""
        self.commits += 1


@define(eq=False)
class ToyStep:
    """One step of the bench. Habits that it knows:

    `waits` (for `let_ready` before it is ready), `refuses` (fails instead of getting ready), `returns` (instead of
    getting ready), `lingers` (at its end, until `let_go`), `reserves`, `spoils` (raises when it is cancelled),
    `ahead` (of a replacer).  `tune=...` is a parameter that changes in place; it is not looked at when the step starts,
    and later it `refuses` to become `refused`, breaks when it looks at `crashing`, and when it takes `broken`.
    """

    context: StepContext
    kind: str
    label: str
    habits: frozenset[str]
    tune: str | None = None
    concluded: list[str | None] = field(factory=list, init=False)
    """The values of `tune` whose changes were concluded."""
    seen: list[MediaEvent] = field(factory=list, init=False)
    is_running: bool = field(default=False, init=False)
    outbox: Outbox = field(init=False)
    reservation: ToyReservation = field(factory=ToyReservation, init=False)
    _ready: trio.Event = field(factory=trio.Event, init=False)
    _may_go: trio.Event = field(factory=trio.Event, init=False)
    _broken: trio.Event = field(factory=trio.Event, init=False)
    _fault: BaseException | None = field(default=None, init=False)

    @property
    def flow(self) -> Flow:
        """See `workflow.step.Step`."""
        return FLOWS[self.kind]

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `workflow.step.Step`."""
        self.outbox, self.is_running = outbox, True
        try:
            await self._prepare()
            if "returns" in self.habits:
                return
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._work, inbox)
                await self._broken.wait()
                nursery.cancel_scope.cancel()
                if self._fault is not None:
                    raise self._fault
        except trio.Cancelled:
            if "spoils" in self.habits:
                raise StepError("spoilt by its cancellation") from None
            raise
        finally:
            if "lingers" in self.habits:
                with trio.CancelScope(shield=True):
                    await self._may_go.wait()
            self.is_running = False

    def _change(self, wanted: StepDefinition) -> ChangeInPlace:
        tune = wanted.parameters.get("tune")
        if tune == "refused":
            raise StepError(f"{self.label} refuses its tune")
        if tune == "crashing":
            raise RuntimeError(f"{self.label} crashes")

        def take() -> Callable[[], None]:
            if tune == "broken":
                raise RuntimeError(f"{self.label} breaks")
            before, self.tune = self.tune, tune
            return partial(setattr, self, "tune", before)

        return ChangeInPlace(take, lambda: self.concluded.append(tune))

    async def _prepare(self) -> None:
        self.context.accept_parameters(self._change)
        if "reserves" in self.habits:
            self.context.reserve(self.reservation)
        if "waits" in self.habits:
            await self._ready.wait()
        if "refuses" in self.habits:
            raise StepError(f"{self.label} refuses")

    async def _work(self, inbox: Inbox) -> None:
        while True:
            events = await inbox.receive()
            self.seen += events
            if self.kind == "slow":
                await trio.sleep(SLOWNESS)
            elif self.kind == "stuck":
                await trio.sleep_forever()
            await self.outbox.send([self._replaced(event) for event in events] if self.kind == "replacer" else events)

    def _replaced(self, event: MediaEvent) -> MediaEvent:
        """The same thing in the replacer's own media, on its own clock."""
        if isinstance(event, MediaPacket):
            by = REPLACERS_OFFSET if "ahead" in self.habits else -REPLACERS_OFFSET
            data = f"{self.label} ".encode() + event.data
            return evolve(event, data=data, timestamp=shifted(event.timestamp, by))
        if isinstance(event, StreamMetadata):
            return StreamMetadata(event.stream_id, {**event.values, "encoder": self.label})
        return event

    # What a test tells it.

    def let_ready(self) -> None:
        """Let a step that `waits` go on."""
        self._ready.set()

    def let_go(self) -> None:
        """Let a step that `lingers` end."""
        self._may_go.set()

    def fail(self, fault: BaseException | None) -> None:
        """Make the step raise `fault`, or return by itself (`None`)."""
        self._fault = fault
        self._broken.set()

    def of(self, stream_id: str) -> list[MediaEvent]:
        """What reached the step of one stream."""
        return [event for event in self.seen if event.stream_id == stream_id]

    def frames(self, stream_id: str = "x") -> list[bytes]:
        """Payloads of the frames of one stream that reached the step."""
        return [event.data for event in self.of(stream_id) if is_frame(event)]


def is_frame(event: MediaEvent) -> TypeGuard[MediaPacket]:
    """Whether it is a packet other than a sequence header."""
    return isinstance(event, MediaPacket) and not event.is_sequence_header


@define(eq=False)
class Bench:
    """The registry that builds toy steps, and remembers every one of them."""

    built: list[ToyStep] = field(factory=list, init=False)
    announced: dict[object, str] = field(factory=dict, init=False)
    """Names of workflows that are to come."""

    def validate(self, wanted: WorkflowDefinition) -> WorkflowDefinition:
        """See `workflow.manager.Steps`."""
        return wanted

    def works(self, wanted: WorkflowDefinition) -> Sequence[Callable[[], object]]:
        """See `workflow.pipeline.StepFactories`."""
        return ()

    def announce(self, wanted: WorkflowDefinition) -> Callable[[], None]:
        """See `workflow.pipeline.StepFactories`."""
        key = object()
        self.announced[key] = wanted.name

        def undo() -> None:
            self.announced.pop(key, None)

        return undo

    def in_place(self, step_type: str) -> frozenset[str]:
        """See `workflow.pipeline.StepFactories`."""
        return frozenset({"tune"})

    def read(self, wanted: StepDefinition) -> StepDefinition:
        """See `workflow.pipeline.StepFactories`."""
        return wanted

    def factory(self, wanted: StepDefinition) -> StepFactory:
        """See `workflow.pipeline.StepFactories`."""
        habits = frozenset(wanted.parameters) - {"label", "tune"}
        tune = wanted.parameters.get("tune")

        def build(context: StepContext) -> ToyStep:
            step = ToyStep(context, wanted.step_type, wanted.parameters["label"] or "", habits, tune)
            self.built.append(step)
            return step

        return build

    def __getitem__(self, label: str) -> ToyStep:
        """The step with that label that was built last."""
        return next(step for step in reversed(self.built) if step.label == label)

    @property
    def running(self) -> Sequence[str]:
        """Labels of the steps whose tasks have not ended, sorted."""
        return sorted(step.label for step in self.built if step.is_running)

    async def send(self, label: str, events: Sequence[MediaEvent]) -> None:
        """Have a step send `events`."""
        await self[label].outbox.send(events)

    def end(self, label: str, stream_id: str) -> None:
        """Have a source end a stream at once."""
        self[label].outbox.end_stream(StreamId(stream_id))
