"""The edge of a step that serves watchers: what they want and no stream of this node shows comes from another node.

What is pulled goes to the step's own viewers alone, and gives way to a stream of this node under the same key.  Other
nodes' pulls are let in here too, by the token of the cluster, and only where there is such a stream: so no two nodes
can pull from each other.
"""

from collections.abc import Callable, Sequence

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.cluster.directory import StreamKey
from mmids_trio.cluster.pull_tokens import CLOCKS_APART_S
from mmids_trio.fanout.channel import Channel
from mmids_trio.media.events import StreamEnded, StreamStarted
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import UNKNOWN, Client, RequestRefused
from mmids_trio.rtmp.server.registrations import Role
from mmids_trio.steps.approval import PLAY_DENIED
from mmids_trio.steps.edge_pulls import TOKEN, EdgePull, EdgePulls, Taker
from mmids_trio.steps.rtmp_audience import Audience, WatchOptions
from mmids_trio.steps.send_scheduler import SendScheduler
from mmids_trio.steps.stages import Stage, StageOutput
from mmids_trio.workflow.links import ChannelInbox
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import StepContext

log = structlog.get_logger()

TICK_SECONDS = 1.0
"""How often it is looked whether anybody still watches what is pulled."""

UNFOUND_SECONDS = 5.0
"""How long a key that no node has had is looked for after the last who wanted it."""

BEGIN_SECONDS = 10.0
"""How long a viewer of HLS waits for the first media of another node."""


@define(eq=False)
class _Wanted:
    pull: EdgePull
    seen: float
    """When somebody watched it last."""
    is_shown: trio.Event = field(factory=trio.Event)
    """Set when its key has a stream."""


@frozen(eq=False)
class PeerViewing:
    """Another node's pull; see `rtmp.server.endpoints.Viewing`."""

    channel: Channel
    end: Callable[[], None]
    token: str = "cluster"


@define(eq=False)
class EdgeWatch:
    """See the module. `scheduler`: sends what is pulled."""

    app: str
    audience: Audience
    pulls: EdgePulls
    scheduler: SendScheduler
    context: StepContext
    _taker: Taker = field(init=False)
    _wanted: dict[str, _Wanted] = field(factory=dict, init=False)
    _peers: dict[str, set[Client]] = field(factory=dict, init=False)
    _is_wanted: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._taker = Taker(ChannelInbox(), self.context)
        self.audience.on_turn = self._turned
        self.context.show_streams(self.describe)

    # Who watches.

    def want(self, key: str, client: Client | None) -> None:
        """Somebody is about to watch a key, or waits for its next stream (`None`). Raises `RequestRefused`."""
        if self.audience.has_local(key):
            return
        if key in self._wanted:
            self._wanted[key].seen = trio.current_time()
            return
        pull = self.pulls.want(StreamKey(self.app, key), self._taker, None if client is None else client.peer_host)
        self._wanted[key] = _Wanted(pull, trio.current_time())
        self._is_wanted.set()

    async def wait_shown(self, key: str) -> None:
        """Wait, for a while, until a stream is on a key that is wanted."""
        wanted = self._wanted.get(key)
        if wanted is not None:
            with trio.move_on_after(BEGIN_SECONDS):
                await wanted.is_shown.wait()

    def admit_peer(self, key: str, client: Client, query: Query) -> PeerViewing | None:
        """Let another node's pull in; `None` for who is none. Raises `RequestRefused`."""
        token = query.parameters.get(TOKEN)
        if token is None:
            return None
        if not self.pulls.claims.is_from_peer(token, StreamKey(self.app, key)):
            what = f"the token of the cluster is wrong, or clocks are more than {CLOCKS_APART_S} s apart"
            raise RequestRefused(PLAY_DENIED, what, RejectReason.PLAY_TOKEN)
        if not self.audience.has_local(key):
            raise RequestRefused(UNKNOWN[Role.WATCH], "no stream of this node has that key", RejectReason.UNKNOWN_NAME)
        self._peers.setdefault(key, set()).add(client)
        return PeerViewing(self.audience.channel(key), lambda: self._peer_left(key, client))

    def _peer_left(self, key: str, client: Client) -> None:
        peers = self._peers.get(key, set())
        peers.discard(client)
        if not peers:
            self._peers.pop(key, None)

    def _is_watched(self, key: str) -> bool:
        """Whether anybody watches who is no node."""
        return self.audience.watching(key) > len(self._peers.get(key, ()))

    # What is shown.

    def _turned(self, stage: Stage[tuple[StageOutput, ...]]) -> None:
        """A stream has begun or ended on a key."""
        key, wanted = stage.key, self._wanted.get(stage.key)
        if wanted is not None and stage.feeds:
            wanted.is_shown.set()
        if self.audience.has_local(key):
            self._drop(key)
        elif stage.served is not None:
            for peer in tuple(self._peers.get(key, ())):
                peer.dismiss("the stream comes from another node now")
        elif wanted is None and self._is_watched(key):
            try:
                self.want(key, None)
            except RequestRefused as error:
                log.warning("watchers wait for a stream of this node alone", stream=key, reason=str(error))

    def _drop(self, key: str) -> None:
        wanted = self._wanted.pop(key, None)
        if wanted is not None:
            self.pulls.leave(wanted.pull, self._taker)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forget_unwatched)
                while True:
                    events = await self.scheduler.next_events(self._taker.inbox)
                    for event in events:
                        if isinstance(event, StreamStarted):
                            self.audience.guests.add(event.stream_id)
                    await self.scheduler.feed_and_send(events)
                    for event in events:
                        if isinstance(event, StreamEnded):
                            self.audience.guests.discard(event.stream_id)
        finally:
            for key in list(self._wanted):
                self._drop(key)

    async def _forget_unwatched(self) -> None:
        while True:
            if not self._wanted:
                self._is_wanted = trio.Event()
                await self._is_wanted.wait()
            await trio.sleep(TICK_SECONDS)
            now = trio.current_time()
            for key, wanted in list(self._wanted.items()):
                kept = self.pulls.linger_s if wanted.pull.has_begun else UNFOUND_SECONDS
                if self._is_watched(key):
                    wanted.seen = now
                elif now - wanted.seen >= kept:
                    self._drop(key)

    def describe(self) -> Sequence[StreamStatus]:
        """See `StepContext.show_streams`."""
        return [wanted.pull.describe() for wanted in self._wanted.values()]


def edge_of(app: str, audience: Audience, options: WatchOptions, pulls: EdgePulls, context: StepContext) -> EdgeWatch:
    """The edge of a step that has one."""
    return EdgeWatch(app, audience, pulls, SendScheduler(audience, options.send_interval_ms / 1000), context)
