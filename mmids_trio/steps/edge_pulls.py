"""What watchers of this node want and another node has: one pull a key, however many steps want it.

A pull follows whoever has the key: when it becomes another node's, the pull moves there, and those who watch see one
stream.  The registry is a hint: a stream that comes goes on, whatever the registry says or does not say; only one that
does not come, and that nobody has for `GRACE_SECONDS`, ends.  What is pulled is handed to no later step: a push behind
an edge would push at every node.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from urllib.parse import quote

import structlog
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.addresses import source_of
from mmids_trio.backoff import Backoff
from mmids_trio.cluster.claims import Following, StreamClaims
from mmids_trio.cluster.directory import StreamEntry, StreamKey
from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.directory import OnAir
from mmids_trio.on_air.directory import StreamEntry as Seen
from mmids_trio.on_air.views import SourceView
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.client.client import TO_PLAY, ClientFailed, open_client
from mmids_trio.rtmp.client.pulling import Pull, Received
from mmids_trio.rtmp.protocol.urls import RtmpUrl, parse_rtmp_url
from mmids_trio.rtmp.server.endpoints import RequestRefused
from mmids_trio.steps.approval import PLAY_DENIED
from mmids_trio.steps.claimed_keys import GRACE_SECONDS
from mmids_trio.steps.pulled_stream import PulledStream
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.replay import Ledger
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import StepContext

log = structlog.get_logger()

TOKEN = "cluster_token"
"""Of a key's query: what a pull shows by which nodes know each other."""

SILENCE_SECONDS = 5.0
"""How long a node may send nothing before it is called anew: on a live stream that is a network that was cut."""

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 2.0
"""Between two calls of a node. It is ours, and somebody watches."""

MAX_LOOKED_FOR_OF_ADDRESS = 32
"""Keys that no node is known to have, and that watchers of one address wait for: each is a question every 1.5 s."""

MAX_LOOKED_FOR = 256
"""Those of all addresses, from which on each has one and no more: some 170 questions a second."""


@frozen(eq=False)
class Taker:
    """A step that wants keys: what it reads, and by whose name they are shown."""

    inbox: ChannelInbox
    context: StepContext


@define(eq=False)
class _Feed:
    """Hands what is pulled of one key to all takers; see `workflow.step.Outbox`."""

    on_stream: Callable[[StreamStarted, bool], None]
    seen: Seen | None = None
    """By which the stream is seen."""
    takers: dict[Taker, Outlet] = field(factory=dict)
    _ledger: Ledger = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ledger = Ledger(on_stream=self.on_stream)

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """See `Outbox`; but a cancelled wait leaves out nothing save media: the next call goes on with the stream."""
        admitted = self._admit(events)
        outlets = tuple(self.takers.values())
        if admitted and isinstance(admitted[0], StreamStarted):  # who missed it would take nothing that follows
            for outlet in outlets:
                outlet.push(admitted[:1])
            admitted = admitted[1:]
        await trio.lowlevel.checkpoint_if_cancelled()
        for outlet in outlets:
            await outlet.send(admitted)

    @property
    def takes_now(self) -> bool:
        """See `Outbox`."""
        return all(outlet.takes_now for outlet in self.takers.values())

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """See `Outbox`."""
        admitted = self._admit(events)
        for outlet in self.takers.values():
            outlet.send_nowait(admitted)

    def _admit(self, events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        admitted = self._ledger.admit(events)
        if self.seen is not None:
            self.seen.meter.note(admitted, trio.current_time())
        return admitted

    def end_stream(self, stream_id: StreamId) -> None:
        """See `Outbox`."""
        self._ledger.end_all()
        for outlet in self.takers.values():
            outlet.end_stream(stream_id)

    def restart_stream(self, stream_id: StreamId, gap: int) -> None:
        """See `Outbox`: what comes is joined to the timeline here, so takers need not."""
        self._ledger.restart(stream_id, gap)

    def add(self, taker: Taker) -> None:
        """It gets what there is from now on."""
        outlet = self.takers[taker] = Outlet()
        outlet.connect(taker.inbox)
        for memory in self._ledger.streams.values():
            outlet.push(memory.replay())

    def remove(self, taker: Taker) -> None:
        """It gets nothing any more."""
        outlet = self.takers.pop(taker, None)
        if outlet is not None:
            for stream_id in self._ledger.streams:
                outlet.end_stream(stream_id)
            outlet.detach()


@define(eq=False)
class EdgePull:
    """The pull of one key, as long as some step wants it."""

    key: StreamKey
    pulls: "EdgePulls"
    wanted_from: str | None
    """Whom it counts for as long as no node is known to have the key; see `addresses.source_of`."""
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    state: str = field(default="looking", init=False)
    last_error: str | None = field(default=None, init=False)
    has_begun: bool = field(default=False, init=False)
    """Whether there ever was a stream."""
    stream: PulledStream = field(init=False)
    feed: _Feed = field(init=False)
    _at: StreamEntry | None = field(default=None, init=False)
    """Where it pulls from, or did last."""
    _url: RtmpUrl | None = field(default=None, init=False)
    _following: Following = field(init=False)
    _call: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _has_come: bool = field(default=False, init=False)
    """Whether the present connection has brought media."""
    _news: trio.Event = field(factory=trio.Event, init=False)
    """Set when the registry says something new."""

    def __attrs_post_init__(self) -> None:
        self.feed = _Feed(self._note_stream)
        self.stream = PulledStream(self.key.key, self.pulls.stream_id, self, self.feed, GRACE_SECONDS)
        self._following = self.pulls.claims.follow(self.key, self._hear)

    # By whose name it is shown: that of the step which wants it first, of those that still do.

    @property
    def workflow(self) -> str:
        """Name of a workflow."""
        return next((taker.context.workflow for taker in self.feed.takers), "")

    @property
    def step_id(self) -> str:
        """Identity of a step within it."""
        return next((taker.context.step_id for taker in self.feed.takers), "")

    def publish(self, event: HubEvent) -> None:
        """Tell what has happened."""
        for taker in tuple(self.feed.takers)[:1]:
            taker.context.publish(event)

    @property
    def source(self) -> SourceView:
        """Where it comes from."""
        url = self._url
        if url is None:
            return SourceView(None, "rtmp", "", 0, "")
        return SourceView(None, "rtmps" if url.tls else "rtmp", url.host, url.port, "", location=str(url))

    def describe(self) -> StreamStatus:
        """For the details of a step."""
        at = "" if self._at is None else f" (node {self._at.owner.node}, {self._at.address})"
        left = self.stream.seconds_left
        return StreamStatus(
            self.key.key,
            f"{self.state}{at}",
            state=self.state if left is None else "interrupted",
            seconds_left=left,
            last_error=self.last_error,
        )

    def _note_stream(self, started: StreamStarted, is_live: bool) -> None:
        feed, on_air = self.feed, self.pulls.on_air
        if is_live:
            self.has_begun = True
            feed.seen = on_air.begin(
                started.stream_id,
                started.stream_name,
                self,
                self.stream.now,
                source=lambda: self.source,
                app=self.key.app,
            )
        elif feed.seen is not None:
            on_air.end(feed.seen)
            feed.seen = None

    # The registry.

    def _hear(self) -> None:
        """Whoever has the key now, or that nobody has."""
        self._news.set()
        self._note_found()
        if self.stream.is_interrupted and not self._following.is_present:
            self.stream.wait_from_now()
        entry, at = self._following.entry, self._at
        if entry is None or at is None or entry == at:
            return
        if (entry.owner, entry.address) != (at.owner, at.address):
            self._call.cancel()  # those who had it before may still send, and do not know yet that they lost it
        elif self.state == "playing":
            self._at = entry

    def _note_found(self) -> None:
        if self._following.is_present:
            self.pulls.settle(self)

    # The connection.

    async def run(self) -> None:
        """Until nobody wants it any more."""
        try:
            with self.scope:
                await self._following.wait_looked_up()
                self._note_found()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.stream.end_overdue, lambda: not self._following.is_present)
                    await self._call_whoever_has_it()
        finally:
            self._following.stop()
            self.stream.end()

    async def _call_whoever_has_it(self) -> None:
        backoff = Backoff(self.pulls.random, FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
        while True:
            self._news = trio.Event()
            entry = self._following.entry
            if entry is None or not self._following.is_present:
                self.state = "looking"
                await self._news.wait()
                continue
            if self._at != entry:
                backoff.reset()
            self._at = entry
            reason = await self._play(entry)
            self.stream.interrupt()
            if reason is None:  # somebody else has it now
                continue
            if self._has_come:
                backoff.reset()
            self.state, self.last_error = "waiting", reason
            self._following.look_again()
            log.warning("stream does not come from its node", node=entry.owner.node, stream=self.key.key, reason=reason)
            with trio.move_on_after(backoff.next_delay()):
                await self._news.wait()

    async def _play(self, entry: StreamEntry) -> str | None:
        """One connection; why it is over, or `None` where it was given up for another one."""
        self.state, self._has_come = "connecting", False
        try:
            url, key = url_of(entry, self.pulls.claims.pull_token(self.key))
        except ValueError as error:
            return f"its address cannot be used: {error}"
        self._url = url
        with trio.CancelScope() as self._call:
            try:
                client = await open_client(self.pulls.dialer, url, key, TO_PLAY, self.pulls.rejections)
                try:
                    self.state = "playing"
                    log.info("stream comes from another node", node=entry.owner.node, stream=self.key.key)
                    await Pull(client, self, (key,), SILENCE_SECONDS).read()
                finally:
                    client.close()
            except ClientFailed as error:
                return str(error)
        return None

    # What it says; see `rtmp.client.pulling.Puller`.

    async def take(self, media: Sequence[Received]) -> None:
        """Media have come."""
        self._has_come = True
        await self.stream.send(media)

    def over(self) -> None:
        """Perhaps its publisher is on its way to another node: the registry will say."""
        self.stream.interrupt()

    stopped = over


@define(eq=False)
class EdgePulls:
    """All pulls of a server. `random`: numbers from 0 to 1. `most`: how many there may be.

    `linger_s`: how long steps want a key after the last who watched it.
    """

    claims: StreamClaims
    dialer: Dialer
    random: Callable[[], float]
    rejections: RejectCounters
    on_air: OnAir
    most: float = inf
    linger_s: float = 30.0
    _pulls: dict[StreamKey, EdgePull] = field(factory=dict, init=False)
    _looked_for: Counter[str] = field(factory=Counter, init=False)
    """Keys that no node is known to have, by who wants them."""
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _streams: int = field(default=0, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def __len__(self) -> int:
        """How many keys are wanted."""
        return len(self._pulls)

    def stream_id(self, _number: int) -> StreamId:
        """One that no stream has had; no workflow has an empty step."""
        self._streams += 1
        return StreamId(f"cluster//{self._streams}")

    def want(self, key: StreamKey, taker: Taker, host: str | None) -> EdgePull:
        """Have `taker` get what is pulled of a key, which may have to be found first. Raises `RequestRefused`.

        `host`: of who watches; `None` for a key that was here until now.
        """
        assert self._nursery is not None, "steps run after it"
        pull = self._pulls.get(key)
        if pull is None:
            source = None if host is None else source_of(host)
            self._refuse_if_full(source)
            pull = self._pulls[key] = EdgePull(key, self, source)
            if source is not None:
                self._looked_for[source] += 1
            pull.feed.add(taker)
            self._nursery.start_soon(pull.run)
        else:
            pull.feed.add(taker)
        return pull

    def _refuse_if_full(self, source: str | None) -> None:
        if len(self._pulls) >= self.most:
            what = "there are as many streams of other nodes as may be"
            raise RequestRefused(PLAY_DENIED, what, RejectReason.STREAMS)
        if source is None:
            return
        most = MAX_LOOKED_FOR_OF_ADDRESS if self._looked_for.total() < MAX_LOOKED_FOR else 1
        if self._looked_for[source] >= most:
            what = "too many keys that no node has are waited for"
            raise RequestRefused(PLAY_DENIED, what, RejectReason.LOOKED_FOR)

    def settle(self, pull: EdgePull) -> None:
        """A node has its key, or nobody wants it any more. Repeating it does nothing."""
        source, pull.wanted_from = pull.wanted_from, None
        if source is not None:
            self._looked_for[source] -= 1
            if not self._looked_for[source]:
                del self._looked_for[source]

    def leave(self, pull: EdgePull, taker: Taker) -> None:
        """`taker` wants it no more; who is the last ends it. Repeating it does nothing."""
        pull.feed.remove(taker)
        if not pull.feed.takers and self._pulls.get(pull.key) is pull:
            del self._pulls[pull.key]
            self.settle(pull)
            pull.scope.cancel()


def url_of(entry: StreamEntry, token: str) -> tuple[RtmpUrl, str]:
    """Where a stream is, and what is asked for there. Raises `ValueError`."""
    url = parse_rtmp_url(f"{entry.address}/app/key")
    key = entry.key.key
    return evolve(url, app=entry.key.app, key=key), f"{key}?{TOKEN}={quote(token, safe='')}"
