"""`ffmpeg_pull`: bring in any file or URL that ffmpeg reads, as one stream."""

from collections.abc import Sequence
from functools import partial

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.ffmpeg.arguments import pull_arguments
from mmids_trio.ffmpeg.locations import stream_key_of
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import PullParameters
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.ffmpeg.state import ChildState
from mmids_trio.ffmpeg.tools import Job
from mmids_trio.masking import mask
from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import Ffmpeg, child_counts, child_status, from_ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

FINISHED = "it was played to its end, and is not played again before the step is made anew (loop=true repeats it)"

log = structlog.get_logger()

READ_BYTES = 64 * 1024
"""Read at once from a child: a whole pipe."""


@define(eq=False)
class _Pulled:
    """What comes from successive children: each one's media is a stream of its own, all of one name."""

    name: str
    prefix: str
    outbox: Outbox
    _count: int = field(default=0, init=False)

    async def read(self, stdout: ChildOutput) -> None:
        """A stream from the first media to the end of the child."""
        self._count += 1
        stream_id = StreamId(f"{self.prefix}/{self._count}")
        media = ChildMedia(stream_id)
        media.begin()
        announcement: list[MediaEvent] = [StreamStarted(stream_id, self.name)]
        try:
            while data := await stdout.receive_some(READ_BYTES):
                if events := media.receive(data):
                    await self.outbox.send([*announcement, *events])
                    announcement = []
        finally:
            self.outbox.end_stream(stream_id)


@frozen
class FfmpegPull:
    """See the module."""

    parameters: PullParameters
    ffmpeg: Ffmpeg
    context: StepContext
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg; a dead source is retried, and one that ends where it may go on."""
        await self.ffmpeg.check()
        state = ChildState()
        self.context.show_streams(lambda: self._describe(state))
        self.context.show_counts(lambda: child_counts([state]))
        source = from_ffmpeg(mask(self.parameters.location, stream_key_of(self.parameters.location)))
        self.context.show_sources(lambda _started: source)
        pulled = _Pulled(self.parameters.stream_name, f"{self.context.workflow}/{self.context.step_id}", outbox)
        supervisor = self.ffmpeg.supervisor(
            Job(
                workflow=self.context.workflow,
                step_id=self.context.step_id,
                stream=self.parameters.stream_name,
                arguments=partial(pull_arguments, self.parameters),
                state=state,
                read=pulled.read,
                secrets=stream_key_of(self.parameters.location),
                once=self.parameters.plays_once,
            )
        )
        task_status.started()
        await supervisor.run()
        log.info("source was played to its end", stream=self.parameters.stream_name)
        await trio.sleep_forever()

    def _describe(self, state: ChildState) -> Sequence[StreamStatus]:
        if state.is_finished:
            return [StreamStatus(self.parameters.stream_name, FINISHED, "finished")]
        status = child_status(self.parameters.stream_name, state)
        return [] if status is None else [status]


def ffmpeg_pull(ffmpeg: Ffmpeg) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: PullParameters, context: StepContext) -> Step:
        return FfmpegPull(parameters, ffmpeg, context)

    return StepType("ffmpeg_pull", PullParameters, build, warnings=PullParameters.unsaid)
