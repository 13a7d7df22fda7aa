"""`ffmpeg_transcode` and `basic_transcode`: replace each stream's media by what an ffmpeg child makes of them."""

from collections.abc import Callable

import trio
from attrs import field, frozen

from mmids_trio.config.settings import whole_number
from mmids_trio.ffmpeg.arguments import transcode_arguments
from mmids_trio.ffmpeg.child import ReadHook
from mmids_trio.ffmpeg.media_pipe import ChildMedia
from mmids_trio.ffmpeg.parameters import (
    TranscodeParameters,
    basic_transcode_conflicts,
    basic_transcode_parameters,
    ffmpeg_transcode_conflicts,
    ffmpeg_transcode_parameters,
)
from mmids_trio.ffmpeg.process import ChildOutput
from mmids_trio.media.events import StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.fed_streams import FedStream, FedStreams, Ffmpeg
from mmids_trio.steps.parameters import Parameter, Values, one_of
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

READ_BYTES = 64 * 1024
"""Read at once from a child: a whole pipe."""

MAX_PIXELS = 16_384
"""Width or height of a picture: what H.264 level 6.2 and HEVC allow."""

MAX_KBPS = 1_000_000
MAX_FPS = 240

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
preset = one_of(*PRESETS)
pixels = whole_number(1, MAX_PIXELS)
kbps = whole_number(1, MAX_KBPS)


def picture_size(value: str) -> tuple[int, int]:
    """`<width>x<height>` in pixels."""
    width, separator, height = value.partition("x")
    try:
        if not separator:
            raise ValueError
        return pixels(width), pixels(height)
    except ValueError:
        raise ValueError(f"expected <width>x<height> in pixels, each up to {MAX_PIXELS}") from None


FFMPEG_TRANSCODE = (
    Parameter("vcodec", one_of("copy", "h264"), required=True),
    Parameter("acodec", one_of("copy", "aac"), required=True),
    Parameter("h264_preset", preset),
    Parameter("size", picture_size),
    Parameter("kbps", kbps, aliases=("bitrate",)),
)

BASIC_TRANSCODE = (
    Parameter("video", one_of("x264", "copy", "drop"), required=True),
    Parameter("audio", one_of("avenc_aac", "copy", "drop"), required=True),
    Parameter("video_width", pixels),
    Parameter("video_height", pixels),
    Parameter("video_fps", whole_number(1, MAX_FPS)),
    Parameter("video_bitrate", kbps),
    Parameter("video_preset", preset, default="medium"),
    Parameter("audio_bitrate", whole_number(1, MAX_KBPS * 1000)),
)


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
                arguments=lambda _stream: transcode_arguments(self.parameters),
                read=lambda stream: _reader(stream, outbox),
                on_end=outbox.end_stream,
            )
            task_status.started()
            while True:
                for event in await inbox.receive():
                    if isinstance(event, StreamStarted):
                        await outbox.send([event])
                    streams.take(event)


def _reader(stream: FedStream, outbox: Outbox) -> ReadHook:
    """Reads the output of a stream's children, one after another, onto one timeline without a step back."""
    media = ChildMedia(stream.started.stream_id)

    async def read(stdout: ChildOutput) -> None:
        has_begun = False
        while data := await stdout.receive_some(READ_BYTES):
            if not has_begun:
                has_begun = True
                media.begin(stream.policy.base or 0)
            if events := media.receive(data):
                await outbox.send(events)

    return read


def transcoding_steps(ffmpeg: Ffmpeg) -> tuple[StepType, StepType]:
    """Both kinds of step, on a server."""

    def building(parameters: Callable[[Values], TranscodeParameters]) -> Callable[[Values, StepContext], Step]:
        return lambda values, context: FfmpegTranscode(parameters(values), ffmpeg, context)

    return (
        StepType(
            "ffmpeg_transcode",
            FFMPEG_TRANSCODE,
            building(ffmpeg_transcode_parameters),
            conflicts=ffmpeg_transcode_conflicts,
        ),
        StepType(
            "basic_transcode",
            BASIC_TRANSCODE,
            building(basic_transcode_parameters),
            conflicts=basic_transcode_conflicts,
        ),
    )
