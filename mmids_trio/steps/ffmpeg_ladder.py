"""`ffmpeg_ladder`: pass each stream on as it is, and beside it a stream for each quality that one child makes of it."""

from collections.abc import Sequence

import trio
from attrs import Factory, define, field, frozen

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.child import STDOUT_READ, ReadHook
from mmids_trio.ffmpeg.ladder_arguments import ladder_arguments, rungs_for, size_of
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import LadderParameters, Rung
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.media.events import Rendition, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.on_air.views import SourceView
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg, from_ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.stream_encoder import StreamEncoder
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext


@define(eq=False)
class _Rendition:
    """What comes of one rung of one stream, over all children, on the clock of the stream."""

    fed: FedStream
    rung: Rung
    outbox: Outbox
    started: StreamStarted = field(init=False)
    media: ChildMedia = field(init=False)
    is_live: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        source, label = self.fed.started, self.rung.label
        stream_id = StreamId(f"{source.stream_id}_{label}")
        rendition = Rendition(source.stream_id, label, self.rung.kbps)
        self.started = StreamStarted(stream_id, f"{source.stream_name}_{label}", source.origin, rendition)
        self.media = ChildMedia(stream_id)

    async def read(self, output: ChildOutput) -> None:
        """The output of a child, which is empty where it does not make this rung."""
        has_begun = False
        while data := await output.receive_some(STDOUT_READ):
            if not has_begun:
                has_begun = True
                self.media.begin(self.fed.feed.base or 0)
            events = self.media.receive(data)
            if events:
                # Together: where the wait is cancelled, neither has gone out, and the next child begins with the start.
                await self.outbox.send(events if self.is_live else [self.started, *events])
                self.is_live = True

    def end(self) -> None:
        """Nothing more comes, or nothing for now."""
        self.is_live = False
        self.outbox.end_stream(self.started.stream_id)


@define(eq=False)
class _Ladders:
    """All renditions of a step."""

    parameters: LadderParameters
    outbox: Outbox
    _by_source: dict[StreamId, list[_Rendition]] = Factory(dict)

    def encoder(self) -> StreamEncoder:
        """What watches the size of a stream."""
        rungs = self.parameters.renditions
        return StreamEncoder(lambda source: [size_of(rung, source) for rung in rungs_for(rungs, source)])

    def arguments(self, fed: FedStream) -> Sequence[str]:
        """For the next child, which makes what suits the source as it is now; other rungs are over.

        Raises `StepError` for a stream of sound alone.
        """
        encoder = fed.encoder
        assert encoder is not None
        if not encoder.has_video:
            raise StepError("there is no video in the stream")
        encoder.begin()
        source = encoder.source
        made = rungs_for(self.parameters.renditions, source)
        for rendition in self._by_source.get(fed.started.stream_id, ()):
            if rendition.is_live and rendition.rung not in made:
                rendition.end()
        return ladder_arguments(self.parameters, source)

    def reads(self, fed: FedStream) -> Sequence[ReadHook]:
        """One for each rung, in their order."""
        rungs = self.parameters.renditions
        renditions = self._by_source[fed.started.stream_id] = [_Rendition(fed, rung, self.outbox) for rung in rungs]
        return [rendition.read for rendition in renditions]

    def end(self, stream_id: StreamId) -> None:
        """A stream is over, and its child has finished."""
        for rendition in self._by_source.pop(stream_id, ()):
            rendition.end()


@frozen
class FfmpegLadder:
    """See the module. What is a rendition itself has none."""

    parameters: LadderParameters
    ffmpeg: Ffmpeg
    context: StepContext
    # It emits more streams than it receives, which a step that only passes on does not.
    flow: Flow = field(default=Flow.REPLACES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg. A rendition begins with its first frame, and ends after the last."""
        await self.ffmpeg.check()
        async with trio.open_nursery() as nursery:
            ladders = _Ladders(self.parameters, outbox)
            streams = FedStreams(
                nursery=nursery,
                ffmpeg=self.ffmpeg,
                context=self.context,
                arguments=ladders.arguments,
                encoder=ladders.encoder,
                reads=ladders.reads,
                on_end=ladders.end,
            )
            self.context.show_sources(_source_of)
            task_status.started()
            while True:
                events = await inbox.receive()
                await outbox.send(events)
                for event in events:
                    if not (isinstance(event, StreamStarted) and event.rendition is not None):
                        streams.take(event)


def _source_of(started: StreamStarted) -> SourceView | None:
    """What a rendition is made from; a stream that passes by is none."""
    rendition = started.rendition
    return None if rendition is None else from_ffmpeg(started.stream_name.removesuffix(f"_{rendition.label}"))


def ffmpeg_ladder(ffmpeg: Ffmpeg) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: LadderParameters, context: StepContext) -> Step:
        return FfmpegLadder(parameters, ffmpeg, context)

    return StepType("ffmpeg_ladder", LadderParameters, build)
