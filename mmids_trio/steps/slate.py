"""`slate`: fill every gap of a stream with a picture, a video or colour bars, in the form of the stream itself."""

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.config.converters import seconds, text
from mmids_trio.config.parameters import parameter
from mmids_trio.continuity.formats import FormatObserver, StreamFormat
from mmids_trio.continuity.slate import Slate, SlateLoop, SlateState, make_loop
from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.ffmpeg.slate_arguments import MAX_LOOP_BYTES, slate_arguments, slate_encoding, why_not
from mmids_trio.ffmpeg.state import ChildPhase, ChildState
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.ffmpeg.tools import Job
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.on_air.directory import OnAir
from mmids_trio.steps.fed_streams import Ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.stream_news import StreamNews
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()

READ_BYTES = 64 * 1024
"""Read at once from a child: a whole pipe."""

MAX_LOOPS = 8
"""Formats of live streams that one step keeps a loop for, 128 MiB at most; streams of further ones have no slate."""

PREPARE_SECONDS = 300.0
"""For one try to prepare a loop: half a minute of large HEVC pictures takes a small machine minutes."""

SHORTEST_GAP, LONGEST_GAP = 0.1, 3600.0
LONGEST_SLATE = 7 * 86_400


@define(eq=False)
class _Loops:
    """The loops of one step, one for each format that was seen; their children run in `nursery`."""

    file: str | None
    ffmpeg: Ffmpeg
    context: StepContext
    nursery: trio.Nursery
    needed: Callable[[], Collection[StreamFormat]]
    """The formats that live streams have; loops of others make room."""
    pause: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around the step's wait for events, which ends when a loop is ready: a gap may be waiting for it."""
    _ready: dict[StreamFormat, SlateLoop] = field(factory=dict, init=False)
    _makers: dict[StreamFormat, Supervisor] = field(factory=dict, init=False)
    """Of all that are prepared or being prepared."""

    def get(self, wanted: StreamFormat) -> SlateLoop | None:
        """The loop, or `None` while it is being prepared, which this begins."""
        if wanted not in self._makers and why_not(wanted) is None and self._has_room():
            maker = self._makers[wanted] = self._maker(wanted)
            self.nursery.start_soon(maker.run)
        return self._ready.get(wanted)

    def _has_room(self) -> bool:
        if len(self._makers) < MAX_LOOPS:
            return True
        needed = self.needed()
        for unneeded in [known for known in self._makers if known not in needed]:
            self._makers.pop(unneeded).finish()
            self._ready.pop(unneeded, None)
        return len(self._makers) < MAX_LOOPS

    def trouble(self, wanted: StreamFormat) -> str | None:
        """Why there is no loop, where that is known."""
        if wanted in self._makers:
            return self._makers[wanted].state.message
        return why_not(wanted) or "too many kinds of streams for slates"

    def forget_unneeded(self) -> None:
        """A stream has ended: what waits to be prepared for it, and for no other one, is out of the others' way."""
        needed = self.needed()
        for wanted, maker in list(self._makers.items()):
            if maker.state.phase is ChildPhase.WAITING and wanted not in needed:
                del self._makers[wanted]
                maker.finish()

    def _maker(self, wanted: StreamFormat) -> Supervisor:
        """Runs until the loop is there; a child that fails is started again as any other."""

        async def read(stdout: ChildOutput) -> None:
            if (loop := await _read_loop(stdout)) is not None:
                if self._makers.get(wanted) is maker:
                    self._ready[wanted] = loop
                log.info("slate is ready", frames=len(loop.frames), milliseconds=loop.duration_ms)
                maker.finish()
                self.pause.cancel()

        maker = self.ffmpeg.supervisor(
            Job(
                workflow=self.context.workflow,
                step_id=self.context.step_id,
                stream="slate",
                arguments=partial(slate_arguments, self.file, wanted),
                encoding=slate_encoding(wanted),
                state=ChildState(),
                read=read,
            )
        )
        return maker


async def _read_loop(stdout: ChildOutput) -> SlateLoop | None:
    """The loop that a child writes, as far as it may go. Raises `StepError` where that takes too long."""
    media, events, size = ChildMedia(StreamId("slate")), list[MediaEvent](), 0
    media.begin()
    with trio.move_on_after(PREPARE_SECONDS) as patience:
        while size < MAX_LOOP_BYTES and (data := await stdout.receive_some(READ_BYTES)):
            size += len(data)
            events += media.receive(data)
    if patience.cancelled_caught:
        raise StepError(f"it has not made the slate within {PREPARE_SECONDS:.0f} s")
    return make_loop(events)


@define(eq=False)
class _Slated:
    """One stream."""

    started: StreamStarted
    slate: Slate
    loops: _Loops
    context: StepContext
    observer: FormatObserver = field(init=False)
    _format: StreamFormat | None = field(default=None, init=False)
    _went_at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.observer = FormatObserver(self.slate.memory)

    def take(self, event: StreamMetadata | MediaPacket, now: float) -> list[MediaEvent]:
        """What is sent for `event`."""
        before = self.slate.state
        events = self.slate.take(event, now)
        if isinstance(event, MediaPacket):
            self.observer.note(event)
            if event.is_sequence_header:
                self._format = None  # perhaps another size: look again
        if self.slate.state is SlateState.LIVE and before in (SlateState.SLATE, SlateState.SILENT):
            self._news.resumed(round((now - self._went_at + self.slate.after) * 1000))
        if self._format is None and self.observer.is_known:
            self._format = self.observer.format()
        return events

    def next_at(self) -> float:
        """When something is due although nothing comes; with the loop, if it is ready by now."""
        if self._format is not None:
            self.slate.loop = self.loops.get(self._format) or self.slate.loop
        return self.slate.next_at()

    @property
    def format(self) -> StreamFormat | None:
        """What it is made of, as far as that was seen."""
        return self._format

    def due(self, now: float) -> list[MediaEvent]:
        """What is sent since time has passed."""
        before = self.slate.state
        events = self.slate.due(now)
        if self.slate.state is SlateState.SLATE and before is SlateState.LIVE:
            self._went_at = now
            self._news.stalled(self.slate.after)
        return events

    @property
    def _news(self) -> StreamNews:
        return StreamNews(self.context, self.started.stream_id, self.started.stream_name)

    def describe(self) -> StreamStatus:
        """How it is doing."""
        state = self.slate.state.value
        trouble = self.loops.trouble(self._format) if self._format is not None and self.slate.loop is None else None
        message = f"{state}; the slate is not ready" if self.slate.loop is None else state
        return StreamStatus(self.started.stream_name, message, state=state, last_error=trouble)


@frozen
class SlateStep:
    """See the module."""

    file: str | None
    after_s: float
    longest_s: float
    ffmpeg: Ffmpeg
    context: StepContext
    on_air: OnAir
    """Where it shows which streams it covers."""
    flow: Flow = field(default=Flow.REPLACES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg, and the file."""
        await self.ffmpeg.check()
        if self.file is not None and not os.access(self.file, os.R_OK):
            raise StepError(f"'{self.file}' cannot be read")
        async with trio.open_nursery() as nursery:
            streams: dict[StreamId, _Slated] = {}
            loops = _Loops(self.file, self.ffmpeg, self.context, nursery, lambda: _formats(streams))
            self.context.show_streams(lambda: _describe(streams))
            task_status.started()
            try:
                while True:
                    events: Sequence[MediaEvent] = ()
                    next_at = min((stream.next_at() for stream in streams.values()), default=inf)
                    with trio.CancelScope(deadline=next_at) as loops.pause:
                        events = await inbox.receive()
                    if outgoing := self._work(events, streams, loops):
                        await outbox.send(outgoing)
            finally:
                for stream_id in streams:
                    self._show(stream_id, is_covered=False)

    def _work(self, events: Sequence[MediaEvent], streams: dict[StreamId, _Slated], loops: _Loops) -> list[MediaEvent]:
        now = trio.current_time()
        outgoing: list[MediaEvent] = []
        for event in events:
            if isinstance(event, StreamStarted):
                slate = Slate(event.stream_id, self.after_s, self.longest_s)
                streams[event.stream_id] = _Slated(event, slate, loops, self.context)
                outgoing.append(event)
            elif isinstance(event, StreamEnded):
                streams.pop(event.stream_id, None)
                self._show(event.stream_id, is_covered=False)
                loops.forget_unneeded()
                outgoing.append(event)
            elif stream := streams.get(event.stream_id):
                outgoing += stream.take(event, now)
        for stream_id, stream in streams.items():
            outgoing += stream.due(now)
            self._show(stream_id, is_covered=stream.slate.state is SlateState.SLATE)
        return outgoing

    def _show(self, stream_id: StreamId, *, is_covered: bool) -> None:
        if (entry := self.on_air.stream_of(stream_id)) is not None:
            entry.cover(self, covered=is_covered)


def _formats(streams: dict[StreamId, _Slated]) -> Collection[StreamFormat]:
    return {stream.format for stream in streams.values() if stream.format is not None}


def _describe(streams: dict[StreamId, _Slated]) -> Sequence[StreamStatus]:
    return [stream.describe() for stream in streams.values()]


@frozen
class SlateParameters:
    """Of `slate`."""

    after_s: float = parameter(seconds(SHORTEST_GAP, LONGEST_GAP), name="after")
    file: str | None = parameter(text, default=None)
    max_s: float = parameter(seconds(1, LONGEST_SLATE), name="max", default=inf)


def slate(ffmpeg: Ffmpeg, on_air: OnAir) -> StepType:
    """The kind of step, on a server that shows its streams `on_air`."""

    def build(parameters: SlateParameters, context: StepContext) -> Step:
        return SlateStep(parameters.file, parameters.after_s, parameters.max_s, ffmpeg, context, on_air)

    return StepType("slate", SlateParameters, build)
