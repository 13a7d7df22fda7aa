"""`ffmpeg_hls`: write an HLS playlist of each stream, and pass it on."""

import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog
import trio
from attrs import evolve, field, frozen

from mmids_trio.ffmpeg.arguments import what_is_lost
from mmids_trio.ffmpeg.disk_room import DiskRoom
from mmids_trio.ffmpeg.ended_files import hls_trace
from mmids_trio.ffmpeg.hls_output import HlsOutput
from mmids_trio.ffmpeg.output_paths import OutputPaths, PathClaim
from mmids_trio.ffmpeg.parameters import HlsParameters
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.events import HlsPaused, HlsResumed
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()


READ_BYTES = 4096
"""Read at once from a child: what it says of a segment has some hundreds."""


@frozen
class _PlaylistTurn:
    """Of a stream: after the step that wrote there before, and the streams before it that have the same playlist."""

    step: PathClaim
    stream: PathClaim
    streams: OutputPaths
    output: HlsOutput
    traces: ExitStack
    """What it leaves is looked after when this is closed."""
    forget: Callable[[], object]
    """Nobody asks for the stream's output any more."""

    async def wait(self) -> None:
        """See `fed_streams.Turn`."""
        await self.step.wait_turn()
        await self.stream.wait_turn()

    def end(self) -> None:
        """See `fed_streams.Turn`."""
        self.output.end()
        self.traces.close()
        self.streams.release(self.stream)
        self.forget()


@frozen
class FfmpegHls:
    """See the module."""

    parameters: HlsParameters
    ffmpeg: Ffmpeg
    paths: OutputPaths
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg and the directory can be written."""
        await self.ffmpeg.check()
        self.ffmpeg.make_directory(self.parameters.path)
        outputs: dict[FedStream, HlsOutput] = {}
        room = self.ffmpeg.disk_room(self.parameters.path, lambda free: self._tell(room, free))
        with self._claim() as claim:
            async with trio.open_nursery() as nursery:
                streams = FedStreams(
                    nursery=nursery,
                    ffmpeg=self.ffmpeg,
                    context=self.context,
                    arguments=lambda stream: outputs[stream].begin(stream.feed.codecs),
                    read=lambda stream: partial(_read, outputs[stream]),
                    rest=lambda stream: outputs[stream].receive,
                    turn=partial(self._turn, claim, OutputPaths(), outputs),
                    warn=lambda stream: what_is_lost(stream.policy.codecs, "HLS"),
                    describe_more=lambda stream, status: _with_playlist(outputs.get(stream), stream, status),
                    hold=room.hold,
                )
                task_status.started()
                while True:
                    events = await inbox.receive()
                    room.look()
                    if room.hold.reason is not None:
                        streams.interrupt(room.hold.reason)
                    for event in events:
                        streams.take(event)
                    await outbox.send(events)

    def _tell(self, room: DiskRoom, free: int) -> None:
        path, context = self.parameters.path, self.context
        if room.hold.reason is None:
            log.info("HLS goes on", path=path, free_bytes=free)
            context.publish(HlsResumed(context.workflow, context.step_id, path, free))
        else:
            log.error("HLS is paused", path=path, reason=room.hold.reason)
            context.publish(HlsPaused(context.workflow, context.step_id, path, free, room.least))

    def _turn(
        self,
        claim: PathClaim,
        playlists: OutputPaths,
        outputs: MutableMapping[FedStream, HlsOutput],
        stream: FedStream,
    ) -> _PlaylistTurn:
        name = stream.started.stream_name
        output = outputs[stream] = HlsOutput(self.parameters, name, self.ffmpeg.make_directory)
        path = output.path
        own = playlists.claim(path, None, self.context.workflow, self.context.step_id, lambda _workflow, _step_id: True)
        if own.before:
            log.info("stream waits for the one before it in its playlist to end", stream=name, path=path)
        traces = ExitStack()
        if self.parameters.deletes:  # else all of the show is wanted, also later
            trace = hls_trace(self.parameters.path, self.parameters.stream_name or name)
            traces.enter_context(self.ffmpeg.ended_files.writing(trace))
        return _PlaylistTurn(claim, own, playlists, output, traces, forget=lambda: outputs.pop(stream))

    @contextmanager
    def _claim(self) -> Iterator[PathClaim]:
        """All playlists of a directory, or the one that `stream_name` makes of all streams."""
        directory, context = os.path.realpath(self.parameters.path), self.context
        claim = self.paths.claim(
            directory, self.parameters.stream_name, context.workflow, context.step_id, context.is_leaving
        )
        try:
            yield claim
        finally:
            self.paths.release(claim)


def _with_playlist(output: HlsOutput | None, stream: FedStream, status: StreamStatus | None) -> StreamStatus | None:
    """Where the playlist is, and how far it has come; of each stream that is written."""
    if output is None:
        return status
    last = output.last_segment
    status = status or StreamStatus(stream.started.stream_name, "writes segments" if last else "has no segment yet")
    return evolve(status, path=output.path, last_segment=last, last_error=stream.state.message)


async def _read(output: HlsOutput, stdout: ChildOutput) -> None:
    while data := await stdout.receive_some(READ_BYTES):
        output.receive(data)


def ffmpeg_hls(ffmpeg: Ffmpeg, paths: OutputPaths) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: HlsParameters, context: StepContext) -> Step:
        return FfmpegHls(parameters, ffmpeg, paths, context)

    return StepType("ffmpeg_hls", HlsParameters, build, warnings=HlsParameters.unsaid)
