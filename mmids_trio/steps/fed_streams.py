"""The streams of a step that feeds each of them to an ffmpeg child of its own."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.ffmpeg.child import FINISH_SECONDS, ReadHook, RestHook
from mmids_trio.ffmpeg.disk_room import DiskRoom
from mmids_trio.ffmpeg.ended_files import EndedFiles
from mmids_trio.ffmpeg.executable import Executable
from mmids_trio.ffmpeg.feed import FeedFilter
from mmids_trio.ffmpeg.feeding import ChildFeed
from mmids_trio.ffmpeg.hold import Hold
from mmids_trio.ffmpeg.state import ChildPhase, ChildState
from mmids_trio.ffmpeg.stopping import STOP_SECONDS
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.ffmpeg.tools import Job
from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId, StreamStarted
from mmids_trio.media_memory import MediaMemory
from mmids_trio.metrics.catalog import STEP_CHILD_DROPPED, STEP_CHILD_LEFT_OUT, STEP_CHILD_RESTARTS, STEP_CHILDREN
from mmids_trio.metrics.counts import Counts, lasting, total
from mmids_trio.on_air.views import SourceView, StreamWarning
from mmids_trio.steps.stream_encoder import StreamEncoder
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import StepContext

LAST_CHANCE_SECONDS = FINISH_SECONDS + STOP_SECONDS
"""How long a stream that has ended still waits for its turn: as long as a child before it may take to end."""


class Ffmpeg(Protocol):
    """What runs ffmpeg, as far as steps need it."""

    async def check(self) -> Executable:
        """Raises `StepError` where no ffmpeg can be run."""

    def supervisor(self, job: Job) -> Supervisor:
        """What keeps the child of `job` running. Only after `check`."""

    @property
    def ended_files(self) -> EndedFiles:
        """Looks after what streams leave on the disk."""

    def disk_room(self, directory: str, on_change: Callable[[int], None]) -> DiskRoom:
        """What pauses children that write there while the disk is almost full."""

    @property
    def memory(self) -> MediaMemory:
        """What is charged for the bytes that wait for children."""

    @property
    def make_directory(self) -> Callable[[str], None]:
        """Has a directory that children can write in, or raises `StepError`."""


class Turn(Protocol):
    """The right of a stream to be written, where only one may at a time."""

    async def wait(self) -> None:
        """Wait until it is this stream's turn."""

    def end(self) -> None:
        """Let the next one begin. Also called when the turn has not come."""


class AnyTime:
    """The turn of a stream that is in nobody's way."""

    async def wait(self) -> None:
        """See `Turn`."""
        await trio.lowlevel.checkpoint()

    def end(self) -> None:
        """See `Turn`."""


@define(eq=False)
class FedStream:
    """One stream, from its start to the end of its child, which is started with the stream's first frame."""

    started: StreamStarted
    policy: FeedFilter
    memory: MediaMemory
    encoder: StreamEncoder | None = None
    """Watches what its child encodes, if it does."""
    state: ChildState = field(factory=ChildState, init=False)
    feed: ChildFeed = field(init=False)
    _supervisor: Supervisor | None = field(default=None, init=False)
    _has_frames_or_ended: trio.Event = field(factory=trio.Event, init=False)
    _has_ended: bool = field(default=False, init=False)
    _patience: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """For the turn to come."""

    def __attrs_post_init__(self) -> None:
        self.feed = ChildFeed(self.policy, self.state)
        self.feed.charge_to(self.memory, self.memory.owner_of(self.started.source_id))
        self.feed.prepare()

    def offer(self, event: MediaEvent) -> None:
        """Feed the child. Never waits."""
        if self.encoder is not None and not self.encoder.note(event, trio.current_time()):
            self.feed.interrupt("the stream has got larger than max_encode_rate leaves room for")
        self.feed.offer([event])
        if self.feed.queued_bytes:
            self._has_frames_or_ended.set()

    def end(self) -> None:
        """The stream is over: its child is to finish what it has got."""
        self._has_ended = True
        self._patience.deadline = trio.current_time() + LAST_CHANCE_SECONDS
        self.feed.end()
        if self._supervisor is not None:
            self._supervisor.finish()
        self._has_frames_or_ended.set()

    async def run(self, turn: Turn, supervise: Callable[["FedStream"], Supervisor]) -> None:
        """Until the stream has ended and its child has finished.

        `supervise` makes the supervisor, when it is known what the stream is made of.
        """
        with self._patience:
            await turn.wait()
            self._forget_what_is_stale()
        await self._has_frames_or_ended.wait()
        if self.feed.queued_bytes and not self._patience.cancelled_caught:
            self._supervisor = supervise(self)
            if self._has_ended:
                self._supervisor.finish()
            await self._supervisor.run()

    def _forget_what_is_stale(self) -> None:
        """What was kept while the turn did not come may be of little use: begin with what comes now."""
        if not self._has_ended and self.state.dropped_groups:
            self._has_frames_or_ended = trio.Event()
            self.feed.prepare()


@define(eq=False, kw_only=True)
class FedStreams:
    """All streams of a step. Their tasks run in `nursery`; what is said of them shows in the workflow's details."""

    nursery: trio.Nursery
    ffmpeg: Ffmpeg
    context: StepContext
    arguments: Callable[[FedStream], Sequence[str]]
    """ffmpeg's, for one stream; asked for at each start."""
    encoder: Callable[[], StreamEncoder | None] = lambda: None
    """Watches what a stream's child encodes, if it does."""
    secrets: Sequence[str] = ()
    read: Callable[[FedStream], ReadHook] | None = None
    """What reads the output of a stream's children, if they have any."""
    reads: Callable[[FedStream], Sequence[ReadHook]] = lambda _stream: ()
    """What reads further outputs of theirs; see `Supervisor`."""
    rest: Callable[[FedStream], RestHook] | None = None
    """What takes the last of it, when their end was asked for from outside."""
    takes_configurations: bool = False
    """See `FeedFilter`."""
    turn: Callable[[FedStream], Turn] = lambda _stream: AnyTime()
    """When the first child of a stream may be started. Called in the order in which streams start."""
    warn: Callable[[FedStream], str | None] = lambda _stream: None
    """What is wrong with a stream though its child runs."""
    describe_more: Callable[[FedStream, StreamStatus | None], StreamStatus | None] = lambda _stream, status: status
    """What else there is to say of a stream."""
    hold: Hold = field(factory=Hold)
    """What may keep children from being started."""
    on_end: Callable[[StreamId], None] = lambda _stream_id: None
    """Called when a stream has ended and its child has finished."""
    _live: dict[StreamId, FedStream] = field(factory=dict, init=False)
    _all: dict[FedStream, None] = field(factory=dict, init=False)
    _gone: Counts = field(factory=dict, init=False)
    """Of streams that have ended."""

    def __attrs_post_init__(self) -> None:
        self.context.show_streams(self._describe)
        self.context.show_troubles(self._troubles)
        self.context.show_counts(self._counts)

    def take(self, event: MediaEvent) -> None:
        """Hand an event to the child of its stream. Never waits."""
        if isinstance(event, StreamStarted):
            policy = FeedFilter(takes_configurations=self.takes_configurations)
            stream = self._live[event.stream_id] = FedStream(event, policy, self.ffmpeg.memory, self.encoder())
            self._all[stream] = None
            self.nursery.start_soon(self._run, stream, self.turn(stream))
        elif isinstance(event, StreamEnded):
            if ended := self._live.pop(event.stream_id, None):
                ended.end()
        elif live := self._live.get(event.stream_id):
            live.offer(event)

    def interrupt(self, reason: str) -> None:
        """End the children of all streams when they have written what they have got."""
        for stream in self._all:
            stream.feed.interrupt(reason)

    def __len__(self) -> int:
        """How many streams are live."""
        return len(self._live)

    async def _run(self, stream: FedStream, turn: Turn) -> None:
        try:
            await stream.run(turn, self._supervisor)
        finally:
            turn.end()
        del self._all[stream]
        self._gone = total(self._gone, lasting(child_counts([stream.state])))
        self.on_end(stream.started.stream_id)

    def _supervisor(self, stream: FedStream) -> Supervisor:
        return self.ffmpeg.supervisor(
            Job(
                workflow=self.context.workflow,
                step_id=self.context.step_id,
                stream=stream.started.stream_name,
                arguments=lambda: self.arguments(stream),
                state=stream.state,
                feed=stream.feed.run,
                read=None if self.read is None else self.read(stream),
                reads=self.reads(stream),
                rest=None if self.rest is None else self.rest(stream),
                secrets=self.secrets,
                encoding=None if stream.encoder is None else stream.encoder.encoding,
                on_wait=stream.feed.forget,
                hold=self.hold,
            )
        )

    def _counts(self) -> Counts:
        return total(child_counts(stream.state for stream in self._all), self._gone)

    def _describe(self) -> Sequence[StreamStatus]:
        found = []
        for stream in self._all:
            status = child_status(stream.started.stream_name, stream.state, self.warn(stream))
            status = self.describe_more(stream, status)
            if status is not None:
                found.append(status)
        return found

    def _troubles(self, stream_id: StreamId) -> Iterable[StreamWarning]:
        if (stream := self._live.get(stream_id)) is None:
            return
        if (lost := self.warn(stream)) is not None:
            yield StreamWarning("codec_not_carried", lost, "encode it in front of that step (ffmpeg_transcode)")
        if (message := stream.state.message) is not None:
            where = f"step {self.context.step_id}: {message.splitlines()[0]}"
            remedy = f"mmids_trio show {self.context.workflow} has the last lines of its ffmpeg"
            yield StreamWarning("output_fails", where, remedy)


def from_ffmpeg(location: str) -> SourceView:
    """That a child makes a stream, from a file or URL without what grants access, or from the stream of that name."""
    return SourceView(None, "ffmpeg", "", 0, "", location=location)


def child_status(stream_name: str, state: ChildState, warning: str | None = None) -> StreamStatus | None:
    """What there is to say of a stream and its child, if anything."""
    said = [text for text in (state.message, warning) if text is not None]
    if not said:
        return None
    is_waiting = state.phase in (ChildPhase.WAITING, ChildPhase.PAUSED)
    return StreamStatus(stream_name, "\n".join(said), state.phase.value if is_waiting else None)


def child_counts(states: Iterable[ChildState]) -> Counts:
    """Of all children that are supervised."""
    running = restarts = dropped = left_out = 0
    for state in states:
        running += state.phase is ChildPhase.RUNNING
        restarts += state.restarts
        dropped += state.dropped_groups
        left_out += state.left_out_lines
    return {
        (STEP_CHILDREN, ()): running,
        (STEP_CHILD_RESTARTS, ()): restarts,
        (STEP_CHILD_DROPPED, ()): dropped,
        (STEP_CHILD_LEFT_OUT, ()): left_out,
    }
