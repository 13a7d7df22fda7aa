"""All kinds of steps that come with mmids_trio, bound to the server that they work on."""

from collections.abc import Callable, Sequence

from mmids_trio.ffmpeg.output_paths import OutputPaths
from mmids_trio.guards.guards import Guards
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters
from mmids_trio.steps.approval import KnownReactors
from mmids_trio.steps.claimed_keys import ClaimedKeys
from mmids_trio.steps.edge_pulls import EdgePulls
from mmids_trio.steps.failover import failover
from mmids_trio.steps.fed_streams import Ffmpeg
from mmids_trio.steps.ffmpeg_hls import ffmpeg_hls
from mmids_trio.steps.ffmpeg_ladder import ffmpeg_ladder
from mmids_trio.steps.ffmpeg_pull import ffmpeg_pull
from mmids_trio.steps.ffmpeg_push import ffmpeg_push
from mmids_trio.steps.ffmpeg_transcode import transcoding_steps
from mmids_trio.steps.http_watch import http_watch
from mmids_trio.steps.registry import StepRegistry, StepType
from mmids_trio.steps.rtmp_audience import WatchOptions
from mmids_trio.steps.rtmp_parameters import RtmpPorts
from mmids_trio.steps.rtmp_pull import rtmp_pull
from mmids_trio.steps.rtmp_push import rtmp_push
from mmids_trio.steps.rtmp_receive import rtmp_receive
from mmids_trio.steps.rtmp_watch import rtmp_watch
from mmids_trio.steps.slate import slate
from mmids_trio.steps.stream_room import StreamRoom
from mmids_trio.steps.workflow_forwarder import workflow_forwarder
from mmids_trio.workflow.forwarding import ForwardingTable


def built_in_steps(
    *,
    rtmp: RtmpPorts,
    media: RtmpPorts,
    media_port: int,
    dialer: Dialer,
    ffmpeg: Ffmpeg,
    forwarding: ForwardingTable,
    reactors: KnownReactors,
    random: Callable[[], float],
    rejections: RejectCounters,
    watch_options: WatchOptions,
    stream_room: StreamRoom,
    on_air: OnAir,
    guards: Guards,
    now: Callable[[], float],
    entropy: Callable[[int], bytes],
    claimed: ClaimedKeys | None = None,
    pulls: EdgePulls | None = None,
    more: Sequence[StepType] = (),
) -> StepRegistry:
    """The registry of a server, with the steps of one's own added.

    `random`: numbers from 0 to 1, for jitter; `now`: Unix time in seconds; `entropy`: so many random bytes.  `media`:
    the server for HTTP, which serves steps that name no port on `media_port`.  `claimed` and
    `pulls`: the keys that the server has in a cluster, and what it fetches from there.
    """
    return StepRegistry(
        [
            rtmp_receive(rtmp, reactors, stream_room, on_air, guards, claimed),
            rtmp_watch(rtmp, reactors, now, watch_options, stream_room.memory, guards, pulls),
            http_watch(media, media_port, reactors, now, entropy, watch_options, stream_room.memory, guards, pulls),
            rtmp_push(dialer, random, rejections, stream_room.memory),
            rtmp_pull(dialer, random, rejections),
            ffmpeg_pull(ffmpeg),
            ffmpeg_push(ffmpeg),
            ffmpeg_hls(ffmpeg, OutputPaths()),
            *transcoding_steps(ffmpeg),
            ffmpeg_ladder(ffmpeg),
            slate(ffmpeg, on_air),
            failover(),
            workflow_forwarder(forwarding, reactors),
            *more,
        ]
    )
