"""`failover`: pass exactly one of several streams on, as one stream that outlives each of them. Others end here."""

from collections.abc import Iterable, Sequence

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.config.converters import one_of, seconds, switch, text
from mmids_trio.config.parameters import parameter
from mmids_trio.continuity.failover import Failover
from mmids_trio.errors import CannotSwitch
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.catalog import STEP_SOURCE
from mmids_trio.metrics.counts import Counts
from mmids_trio.on_air.views import SourceView, StreamNow
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.slate import LONGEST_GAP, SHORTEST_GAP
from mmids_trio.workflow.events import StreamSwitched
from mmids_trio.workflow.status import StreamStatus, Switched
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()

MAX_BACKUPS = 8
"""More than anybody keeps running for one show."""


def names(value: str) -> tuple[str, ...]:
    """Names of streams, separated by commas. Raises `ValueError`."""
    found = tuple(name.strip() for name in value.split(","))
    if not all(found) or len(set(found)) < len(found) or len(found) > MAX_BACKUPS:
        raise ValueError(f"expected up to {MAX_BACKUPS} different names of streams, separated by commas")
    return found


@frozen
class FailoverParameters:
    """Of `failover`."""

    primary: str = parameter(text)
    backups: tuple[str, ...] = parameter(names, name="backup")
    output: str = parameter(text)
    after_s: float = parameter(seconds(SHORTEST_GAP, LONGEST_GAP), name="after")
    revert: str = parameter(one_of("auto", "manual"), default="auto")
    pass_others: bool = parameter(switch, default=False)

    def conflicts(self) -> Iterable[str]:
        """The primary is no backup of its own."""
        if self.primary in self.backups:
            yield "'primary' is among the names of 'backup'"


@define(eq=False)
class _Show:
    """The outgoing stream, from the first source's start to the last one's end; then another one may follow."""

    step: "FailoverStep"
    outbox: Outbox
    _machine: Failover | None = field(default=None, init=False)
    _inputs: dict[StreamId, str] = field(factory=dict, init=False)
    """The live sources, by the streams that they are."""
    _count: int = field(default=0, init=False)
    _told: str | None = field(default=None, init=False)

    def take(self, event: MediaEvent, now: float) -> list[MediaEvent]:
        """What is sent for an event."""
        if isinstance(event, StreamStarted):
            return self._start(event)
        name = self._inputs.get(event.stream_id)
        if name is None:
            return [event] if self.step.passes_others else []
        assert self._machine is not None
        if isinstance(event, StreamEnded):
            return self._end(event, name, now)
        return self._machine.take(name, event, now) if isinstance(event, (StreamMetadata, MediaPacket)) else []

    def _start(self, event: StreamStarted) -> list[MediaEvent]:
        name = event.stream_name
        is_source = name in self.step.sources and name not in self._inputs.values()
        if not is_source and self.step.passes_others:
            return [event]
        # Where the step is put into a running workflow, later steps have had the source itself up to now.
        self.outbox.end_stream(event.stream_id)
        if not is_source:
            log.info("a stream is not passed on", stream=name, reason="it is no source of the failover")
            return []
        self._inputs[event.stream_id] = name
        beginning: list[MediaEvent] = []
        if self._machine is None:
            self._count += 1
            context = self.step.context
            stream_id = StreamId(f"{context.workflow}/{context.step_id}/{self._count}")
            self._machine = Failover(stream_id, self.step.sources, self.step.after_s, self.step.reverts)
            beginning = [StreamStarted(stream_id, self.step.output)]
        self._machine.started(name)
        return beginning

    def _end(self, event: StreamEnded, name: str, now: float) -> list[MediaEvent]:
        assert self._machine is not None
        del self._inputs[event.stream_id]
        self._machine.ended(name, now)
        if self._machine.is_live:
            return []
        ended, self._machine, self._told = StreamEnded(self._machine.stream_id), None, None
        return [ended]

    def tell(self) -> None:
        """Say so if another source is sent than before."""
        machine = self._machine
        if machine is None or machine.sending is None or machine.sending == self._told:
            return
        before, self._told = self._told, machine.sending
        context = self.step.context
        context.publish(
            StreamSwitched(context.workflow, context.step_id, self.step.output, before, machine.sending, machine.reason)
        )
        log.info("source switched", stream=self.step.output, to=machine.sending, reason=machine.reason)

    def decide(self, now: float) -> None:
        """Time has passed."""
        if self._machine is not None:
            self._machine.decide(now)

    def next_at(self, now: float) -> float:
        """When to `decide` although nothing comes."""
        return float("inf") if self._machine is None else self._machine.next_at(now)

    def switch_to(self, name: str) -> Switched:
        """An operator wants that source. Raises `CannotSwitch` with the reason why not."""
        if self._machine is None:
            raise CannotSwitch("there is no source at present")
        self._machine.switch_to(name, trio.current_time())
        return Switched(self._machine.sending, self._machine.wanted)

    def source_of(self, started: StreamStarted) -> SourceView | None:
        """Which source is sent, for who lists streams; those that pass by are not the step's."""
        machine = self._machine
        if machine is None or machine.stream_id != started.stream_id:
            return None
        return SourceView(None, "failover", "", 0, "", location=machine.sending)

    def now(self) -> StreamNow:
        """Whether that is a backup."""
        sending = None if self._machine is None else self._machine.sending
        return StreamNow("live" if sending in (None, self.step.sources[0]) else "backup")

    def counts(self) -> Counts:
        """Which source is sent."""
        sending = None if self._machine is None else self._machine.sending
        return {(STEP_SOURCE, (name,)): int(name == sending) for name in self.step.sources}

    def describe(self) -> Sequence[StreamStatus]:
        """Which source is sent, and which will be."""
        if self._machine is None:
            return []
        sending, wanted = self._machine.sending, self._machine.wanted
        message = f"sends '{sending}'" if sending else "sends nothing"
        if wanted:
            message += f"; '{wanted}' from its next key frame on ({self._machine.reason})"
        return [StreamStatus(self.step.output, message, state=sending)]


@frozen
class FailoverStep:
    """See the module."""

    sources: tuple[str, ...]
    output: str
    after_s: float
    reverts: bool
    passes_others: bool
    """Whether streams that are no sources pass by."""
    context: StepContext
    flow: Flow = field(default=Flow.REPLACES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready at once."""
        show = _Show(self, outbox)
        self.context.show_streams(show.describe)
        self.context.show_sources(show.source_of, lambda _stream_id: show.now())
        self.context.show_counts(show.counts)
        self.context.accept_switch(show.switch_to)
        task_status.started()
        while True:
            events: Sequence[MediaEvent] = ()
            with trio.move_on_at(show.next_at(trio.current_time())):
                events = await inbox.receive()
            now = trio.current_time()
            outgoing = [sent for event in events for sent in show.take(event, now)]
            show.decide(now)
            show.tell()
            if outgoing:
                await outbox.send(outgoing)


def failover() -> StepType:
    """The kind of step."""

    def build(parameters: FailoverParameters, context: StepContext) -> Step:
        return FailoverStep(
            (parameters.primary, *parameters.backups),
            parameters.output,
            parameters.after_s,
            parameters.revert == "auto",
            parameters.pass_others,
            context,
        )

    return StepType("failover", FailoverParameters, build, conflicts=FailoverParameters.conflicts)
