"""`ffmpeg_hls`: write an HLS playlist of each stream, and pass it on."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog
import trio
from attrs import field, frozen

from mmids_trio.ffmpeg.arguments import hls_arguments, hls_playlist_path, what_is_lost
from mmids_trio.ffmpeg.ended_files import hls_trace
from mmids_trio.ffmpeg.output_paths import OutputPaths, PathClaim
from mmids_trio.ffmpeg.parameters import HlsParameters
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()


@frozen
class _PlaylistTurn:
    """Of a stream: after the step that wrote there before, and the streams before it that have the same playlist."""

    step: PathClaim
    stream: PathClaim
    streams: OutputPaths
    traces: ExitStack
    """What it leaves is looked after when this is closed."""

    async def wait(self) -> None:
        """See `fed_streams.Turn`."""
        await self.step.wait_turn()
        await self.stream.wait_turn()

    def end(self) -> None:
        """See `fed_streams.Turn`."""
        self.traces.close()
        self.streams.release(self.stream)


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
        with self._claim() as claim:
            async with trio.open_nursery() as nursery:
                streams = FedStreams(
                    nursery=nursery,
                    ffmpeg=self.ffmpeg,
                    context=self.context,
                    arguments=self._arguments,
                    turn=partial(self._turn, claim, OutputPaths()),
                    warn=lambda stream: what_is_lost(stream.policy.codecs, "HLS"),
                )
                task_status.started()
                while True:
                    events = await inbox.receive()
                    for event in events:
                        streams.take(event)
                    await outbox.send(events)

    def _arguments(self, stream: FedStream) -> Sequence[str]:
        return hls_arguments(self.parameters, stream.started.stream_name, stream.codecs)

    def _turn(self, claim: PathClaim, playlists: OutputPaths, stream: FedStream) -> _PlaylistTurn:
        name = stream.started.stream_name
        path = hls_playlist_path(self.parameters, name)
        own = playlists.claim(path, None, self.context.workflow, self.context.step_id, lambda _workflow, _step_id: True)
        if own.before:
            log.info("stream waits for the one before it in its playlist to end", stream=name, path=path)
        traces = ExitStack()
        if self.parameters.count != 0:  # else all of the show is wanted, also later
            trace = hls_trace(self.parameters.path, self.parameters.stream_name or name)
            traces.enter_context(self.ffmpeg.ended_files.writing(trace))
        return _PlaylistTurn(claim, own, playlists, traces)

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


def ffmpeg_hls(ffmpeg: Ffmpeg, paths: OutputPaths) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: HlsParameters, context: StepContext) -> Step:
        return FfmpegHls(parameters, ffmpeg, paths, context)

    return StepType("ffmpeg_hls", HlsParameters, build)
