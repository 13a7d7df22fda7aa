"""`ffmpeg_transcode` and `basic_transcode`: replace each stream's media by what an ffmpeg child makes of them."""

from collections.abc import Sequence

import trio
from attrs import field, frozen

from mmids_trio.ffmpeg.arguments import transcode_arguments
from mmids_trio.ffmpeg.child import ReadHook
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import (
    BasicTranscodeParameters,
    FfmpegTranscodeParameters,
    Size,
    TranscodeParameters,
    even,
)
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg, from_ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.stream_encoder import StreamEncoder
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

READ_BYTES = 64 * 1024
"""Read at once from a child: a whole pipe."""


@frozen
class FfmpegTranscode:
    """See the module."""

    parameters: TranscodeParameters
    ffmpeg: Ffmpeg
    context: StepContext
    flow: Flow = field(default=Flow.REPLACES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg. Streams keep id and name, and end when the last of their media is out."""
        await self.ffmpeg.check()
        async with trio.open_nursery() as nursery:
            streams = FedStreams(
                nursery=nursery,
                ffmpeg=self.ffmpeg,
                context=self.context,
                arguments=self._arguments,
                encoder=self._encoder,
                read=lambda stream: _reader(stream, outbox),
                on_end=outbox.end_stream,
            )
            self.context.show_sources(lambda started: from_ffmpeg(started.stream_name))
            task_status.started()
            while True:
                for event in await inbox.receive():
                    if isinstance(event, StreamStarted):
                        await outbox.send([event])
                    streams.take(event)

    def _encoder(self) -> StreamEncoder | None:
        parameters = self.parameters
        if parameters.video != "encode":
            return None
        return StreamEncoder(lambda source: [_size_of(parameters, source)], parameters.fps)

    def _arguments(self, stream: FedStream) -> Sequence[str]:
        sizes = () if stream.encoder is None else stream.encoder.begin()
        return transcode_arguments(self.parameters, next(iter(sizes), None))


def _size_of(parameters: TranscodeParameters, source: Size) -> Size:
    """What is asked for; as the proportions want it where that is one side, and the source's where it is none."""
    width, height = source
    if parameters.width and parameters.height:
        return parameters.width, parameters.height
    if parameters.width:
        return parameters.width, even(height * parameters.width / width)
    if parameters.height:
        return even(width * parameters.height / height), parameters.height
    return source


def _reader(stream: FedStream, outbox: Outbox) -> ReadHook:
    """Reads the output of a stream's children, one after another, onto one timeline without a step back."""
    media = ChildMedia(stream.started.stream_id)

    async def read(stdout: ChildOutput) -> None:
        has_begun = False
        while data := await stdout.receive_some(READ_BYTES):
            if not has_begun:
                has_begun = True
                media.begin(stream.feed.base or 0)
            if events := media.receive(data):
                await outbox.send(events)

    return read


def transcoding_steps(ffmpeg: Ffmpeg) -> tuple[StepType, StepType]:
    """Both kinds of step, on a server."""

    def build(parameters: FfmpegTranscodeParameters | BasicTranscodeParameters, context: StepContext) -> Step:
        return FfmpegTranscode(parameters.transcoding(), ffmpeg, context)

    return (
        StepType(
            "ffmpeg_transcode",
            FfmpegTranscodeParameters,
            build,
            conflicts=FfmpegTranscodeParameters.conflicts,
        ),
        StepType(
            "basic_transcode",
            BasicTranscodeParameters,
            build,
            conflicts=BasicTranscodeParameters.conflicts,
        ),
    )
