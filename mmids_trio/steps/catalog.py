"""All kinds of steps that come with mmids_trio, bound to the server that they work on.

Those that a server has only in some configurations are imported when one names them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmids_trio.ffmpeg.output_paths import OutputPaths
from mmids_trio.guards.guards import Guards
from mmids_trio.late import late
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters
from mmids_trio.steps.approval import KnownReactors
from mmids_trio.steps.claimed_keys import ClaimedKeys
from mmids_trio.steps.registry import LateType, StepRegistry, StepType
from mmids_trio.steps.rtmp_audience import WatchOptions
from mmids_trio.steps.rtmp_parameters import RtmpPorts
from mmids_trio.steps.rtmp_receive import rtmp_receive
from mmids_trio.steps.rtmp_watch import rtmp_watch
from mmids_trio.steps.stream_room import StreamRoom
from mmids_trio.steps.workflow_forwarder import workflow_forwarder
from mmids_trio.workflow.forwarding import ForwardingTable

HERE = "mmids_trio.steps."

if TYPE_CHECKING:
    from mmids_trio.steps import (
        failover,
        ffmpeg_hls,
        ffmpeg_ladder,
        ffmpeg_pull,
        ffmpeg_push,
        ffmpeg_transcode,
        http_watch,
        rtmp_pull,
        rtmp_push,
        slate,
    )
    from mmids_trio.steps.edge_pulls import EdgePulls
    from mmids_trio.steps.fed_streams import Ffmpeg
else:
    failover, slate = late(f"{HERE}failover"), late(f"{HERE}slate")
    ffmpeg_hls, ffmpeg_ladder = late(f"{HERE}ffmpeg_hls"), late(f"{HERE}ffmpeg_ladder")
    ffmpeg_pull, ffmpeg_push = late(f"{HERE}ffmpeg_pull"), late(f"{HERE}ffmpeg_push")
    ffmpeg_transcode, http_watch = late(f"{HERE}ffmpeg_transcode"), late(f"{HERE}http_watch")
    rtmp_pull, rtmp_push = late(f"{HERE}rtmp_pull"), late(f"{HERE}rtmp_push")


def built_in_steps(
    *,
    rtmp: RtmpPorts,
    media: RtmpPorts,
    media_port: int,
    dialer: Dialer,
    ffmpeg: "Ffmpeg",
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
    pulls: "EdgePulls | None" = None,
    more: Sequence[StepType] = (),
) -> StepRegistry:
    """The registry of a server, with the steps of one's own added.

    `random`: numbers from 0 to 1, for jitter; `now`: Unix time in seconds; `entropy`: so many random bytes.  `media`:
    the server for HTTP, which serves steps that name no port on `media_port`.  `claimed` and
    `pulls`: the keys that the server has in a cluster, and what it fetches from there.
    """

    def watch_http() -> StepType:
        return http_watch.http_watch(
            media, media_port, reactors, now, entropy, watch_options, stream_room.memory, guards, pulls
        )

    def transcoding(number: int) -> StepType:
        return ffmpeg_transcode.transcoding_steps(ffmpeg)[number]

    return StepRegistry(
        [
            rtmp_receive(rtmp, reactors, stream_room, on_air, guards, claimed),
            rtmp_watch(rtmp, reactors, now, watch_options, stream_room.memory, guards, pulls),
            LateType("http_watch", f"{HERE}http_watch", watch_http),
            LateType(
                "rtmp_push",
                f"{HERE}rtmp_push",
                lambda: rtmp_push.rtmp_push(dialer, random, rejections, stream_room.memory),
            ),
            LateType("rtmp_pull", f"{HERE}rtmp_pull", lambda: rtmp_pull.rtmp_pull(dialer, random, rejections)),
            LateType("ffmpeg_pull", f"{HERE}ffmpeg_pull", lambda: ffmpeg_pull.ffmpeg_pull(ffmpeg)),
            LateType("ffmpeg_push", f"{HERE}ffmpeg_push", lambda: ffmpeg_push.ffmpeg_push(ffmpeg)),
            LateType("ffmpeg_hls", f"{HERE}ffmpeg_hls", lambda: ffmpeg_hls.ffmpeg_hls(ffmpeg, OutputPaths())),
            LateType("ffmpeg_transcode", f"{HERE}ffmpeg_transcode", lambda: transcoding(0)),
            LateType("basic_transcode", f"{HERE}ffmpeg_transcode", lambda: transcoding(1)),
            LateType("ffmpeg_ladder", f"{HERE}ffmpeg_ladder", lambda: ffmpeg_ladder.ffmpeg_ladder(ffmpeg)),
            LateType("slate", f"{HERE}slate", lambda: slate.slate(ffmpeg, on_air)),
            LateType("failover", f"{HERE}failover", lambda: failover.failover()),  # noqa: PLW0108 - that imports it
            workflow_forwarder(forwarding, reactors),
            *more,
        ],
        before={"auth_url": guards.web.prepare},
    )
