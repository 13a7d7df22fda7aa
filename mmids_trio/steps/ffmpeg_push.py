"""`ffmpeg_push`: push each stream, or one of them, to a target, and pass all on."""

import structlog
import trio
from attrs import field, frozen

from mmids_trio.ffmpeg.arguments import push_arguments, what_is_lost
from mmids_trio.ffmpeg.locations import is_pushed_as_ts, stream_key_of, takes_configurations
from mmids_trio.ffmpeg.parameters import PushParameters
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()


@frozen
class FfmpegPush:
    """See the module."""

    parameters: PushParameters
    ffmpeg: Ffmpeg
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when there is an ffmpeg; a target that does not answer is retried for as long as streams last."""
        await self.ffmpeg.check()
        async with trio.open_nursery() as nursery:
            streams = FedStreams(
                nursery=nursery,
                ffmpeg=self.ffmpeg,
                context=self.context,
                arguments=lambda _stream: push_arguments(self.parameters),
                secrets=stream_key_of(self.parameters.target),
                warn=self._warn,
                takes_configurations=takes_configurations(self.parameters.target),
            )
            task_status.started()
            while True:
                events = await inbox.receive()
                for event in events:
                    if isinstance(event, StreamStarted):
                        if self.parameters.stream_name not in (None, event.stream_name):
                            continue
                        if len(streams):
                            log.warning("several streams are pushed to one target", stream=event.stream_name)
                    streams.take(event)
                await outbox.send(events)

    def _warn(self, stream: FedStream) -> str | None:
        return what_is_lost(stream.policy.codecs, "MPEG-TS") if is_pushed_as_ts(self.parameters.target) else None


def ffmpeg_push(ffmpeg: Ffmpeg) -> StepType:
    """The kind of step, on a server."""

    def build(parameters: PushParameters, context: StepContext) -> Step:
        return FfmpegPush(parameters, ffmpeg, context)

    return StepType("ffmpeg_push", PushParameters, build)
