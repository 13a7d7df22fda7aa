"""The publishers of one `rtmp_receive` step: whose stream a key is, who may take it over, and how it outlives a lost
connection.

None of it knows ports or bytes.  Every decision is synchronous: a key changes hands, is given up or comes back in one
go, whoever waits for an answer meanwhile.  Besides the clients' own tasks there is one alarm for the whole step
(`end_overdue`), so a thousand interrupted streams need no task each.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from math import inf

import trio
from attrs import define, field, frozen

from mmids_trio.addresses import AddressRules
from mmids_trio.cluster.directory import StreamKey
from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media_memory import MediaOwner
from mmids_trio.metrics.catalog import STEP_PUBLISHERS, STEP_RECEIVED
from mmids_trio.metrics.counts import Counts
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.on_air.views import STALLED_SECONDS, StreamNow
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, Client, RequestRefused
from mmids_trio.steps.approval import (
    PUBLISH_DENIED,
    AsRequest,
    KnownReactor,
    PublishAccess,
    Release,
    approved,
    let_in,
    plain_request,
)
from mmids_trio.steps.claimed_keys import ClaimedKeys, HeldKey
from mmids_trio.steps.stream_news import StreamNews
from mmids_trio.steps.stream_room import StreamRoom
from mmids_trio.stream_request import StreamOrigin, StreamRequest
from mmids_trio.workflow.status import Clients, StreamStatus
from mmids_trio.workflow.step import Outbox, StepContext

WATCHED_SECONDS = 1.0
"""Since a stream was sent to somebody last; after that, nobody waits for its next frame."""

BAD_NAME = "NetStream.Publish.BadName"


@define(eq=False)
class PublishedStream:
    """One stream, from its first publisher to its end. `source` feeds it now, or has fed it last."""

    stream_id: StreamId
    key: str
    source: "PublisherTurn"
    origin: StreamOrigin
    last_sent: float
    """When media came last, on trio's clock; when it began, where none have."""
    ends_at: float | None = None
    """When it ends unless a publisher comes back; `None` while it has one."""
    grace: float = 0.0
    """The seconds that it was given for that last."""
    heard_at: float = 0.0
    """When its source sent media last, or became its source."""
    first_sent: float | None = None
    """When its source sent media first; `None` where it has not yet."""
    on_air: float = 0.0
    """Seconds between the first and the last media of each source that it had before."""
    is_stalled: bool = False
    """Whether it has been said that its source sends nothing."""
    is_announced: bool = False
    """Whether later steps have been told that it has started."""
    held: HeldKey | None = None
    """Its key in the cluster, with one."""
    bytes_owner: MediaOwner = field(factory=MediaOwner, init=False)
    """Whose what is held of it is, and when it was served last."""
    entry: StreamEntry = field(init=False)
    """By which it is seen, and what counts its media."""
    _sends: int = field(default=0, init=False)
    _silent: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def send(self, events: Sequence[MediaEvent], outbox: Outbox) -> None:
        """Hand media of its source on."""
        self._sends += 1
        try:
            await outbox.send(events)
        finally:
            self._sends -= 1
            self._silent.unpark_all()

    def now(self) -> StreamNow:
        """How it is."""
        if self.ends_at is not None:
            return StreamNow("interrupted", max(self.ends_at - trio.current_time(), 0.0))
        if self.is_stalled:
            return StreamNow("stalled")
        stall_after = self.source.owner.stall_after
        return StreamNow("live", stalls_after=inf if stall_after else STALLED_SECONDS)

    def send_away(self, reason: str) -> None:
        """End it, and have its source leave."""
        self.source.send_away(reason)

    def source_is_gone(self) -> None:
        """Add the time of its source to that on the air."""
        if self.first_sent is not None:
            self.on_air += self.last_sent - self.first_sent
            self.first_sent = None

    async def wait_silent(self) -> None:
        """Wait until nothing of a displaced source is under way any more; its client's task has been cancelled."""
        while self._sends:
            await self._silent.park()


def _nothing() -> None:
    """Lets go of nothing."""


@define(eq=False)
class PublisherTurn:
    """One publisher's turn at a stream; see `rtmp.server.endpoints.Publication`."""

    request: StreamRequest
    client: Client
    owner: "Publishers"
    _token: str | None = None
    held: HeldKey | None = field(default=None, init=False)
    """The key in the cluster, until a stream has it."""
    stream: PublishedStream | None = field(default=None, init=False)
    """From when the key becomes its own until the stream ends."""
    stream_id: StreamId = field(init=False)
    """Set with that, and there as long as its client; nobody sees it before it has the key."""
    release: Release = field(default=_nothing, init=False)
    """Lets go of the reactor's approval; the stream's, as long as it has no other source."""
    _has_left: bool = field(default=False, init=False)

    @property
    def key(self) -> str:
        return self.request.key

    @property
    def token(self) -> str | None:
        """The name of what it has shown."""
        return self._token

    @property
    def _is_source(self) -> bool:
        return self.stream is not None and self.stream.source is self

    @property
    def is_live(self) -> bool:
        """Whether what it sends is the stream."""
        return self._is_source and not self._has_left

    @property
    def takes_now(self) -> bool:
        return self.owner.outbox.takes_now

    def is_watched(self, now: float) -> bool:
        stream = self.stream
        return stream is not None and now - stream.bytes_owner.served_at < WATCHED_SECONDS

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """What comes from a displaced publisher on its way out goes nowhere."""
        if (stream := self._note(events)) is None:
            await trio.lowlevel.checkpoint()
        else:
            await stream.send(events, self.owner.outbox)

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        if self._note(events) is not None:
            self.owner.outbox.send_nowait(events)

    def _note(self, events: Sequence[MediaEvent]) -> PublishedStream | None:
        """Count what comes, and say of which stream it is, if it is its source."""
        stream = self.stream
        if stream is None or stream.source is not self or self._has_left:
            return None
        now = trio.current_time()
        size = stream.entry.meter.note(events, now)
        if size:
            self.owner.heard(stream, size, now)
            stream.last_sent = now
            if stream.first_sent is None:
                stream.first_sent = now
        return stream

    def end(self) -> None:
        self._leave(self.owner.end)

    def vanish(self) -> None:
        self._leave(self.owner.interrupt)

    def _leave(self, give_up: Callable[[PublishedStream], None]) -> None:
        if self._has_left:
            return
        self._has_left = True
        if self.stream is not None and self._is_source:
            give_up(self.stream)
        else:
            self.let_go()

    def step_aside(self) -> None:
        """Another publisher has the key now."""
        if not self._has_left:
            self._has_left = True
            self.client.dismiss("another publisher has taken its stream key over")
        self.let_go()

    def revoke(self) -> None:
        """The reactor takes its approval back: the stream is over, whether its publisher is there or gone."""
        self.send_away("the reactor does not approve of its stream any more")

    def send_away(self, reason: str) -> None:
        """The stream is over, and its publisher must leave. Repeating it does nothing."""
        if self.stream is not None and self._is_source:
            self._has_left = True
            self.owner.end(self.stream)
        self.client.dismiss(reason)

    def let_go(self) -> None:
        """Release the approval; repeating it does nothing."""
        release, self.release = self.release, _nothing
        release()


class OnBusy(Enum):
    """What becomes of a publisher whose stream key has a live publisher."""

    REFUSE = "refuse"
    TAKEOVER = "takeover"
    SAME_SOURCE = "same_source"
    """Takes over if it comes from the same address, or has the publish token, where there is one."""


@frozen
class PublishTerms:
    """What may change while publishers are here; see `Publishers`."""

    reactor: KnownReactor | None
    on_busy: OnBusy
    grace: float
    access: PublishAccess
    stall_after: float


@define(eq=False)
class Publishers:
    """The streams of one step; see `rtmp.server.endpoints.PublishHandler`.

    PublishedStream ids are `<workflow>/<step id>/<number>`, so the same events in the same order have the same ids.
    `grace`: seconds that a stream waits for the return of a publisher that has vanished.  `stall_after`: seconds
    without media after which a publisher is said to be stalled; 0 for never.  `max_streams`: of this step; `room`: of
    the whole server.
    """

    context: StepContext
    outbox: Outbox
    reactor: KnownReactor | None = None
    on_busy: OnBusy = OnBusy.REFUSE
    grace: float = 0.0
    access: PublishAccess = field(factory=PublishAccess)
    received_bytes: int = field(default=0, init=False)
    """Of media, of all publishers ever."""
    stall_after: float = 0.0
    max_streams: float = inf
    room: StreamRoom = field(factory=StreamRoom)
    as_request: AsRequest = plain_request
    on_air: OnAir = field(factory=OnAir)
    """Where the streams are seen."""
    claimed: ClaimedKeys | None = None
    """Where their keys are claimed, with a cluster."""
    _streams: dict[str, PublishedStream] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)
    _alarm: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _is_closed: bool = field(default=False, init=False)

    def count(self) -> Clients:
        """How many are connected."""
        return Clients(publishers=sum(stream.ends_at is None for stream in self._streams.values()))

    def count_excluded(self, rules: AddressRules) -> Clients:
        """How many of them address rules do not permit."""
        hosts = [stream.source.client.peer_host for stream in self._streams.values() if stream.ends_at is None]
        return Clients(publishers=sum(not rules.permit(host) for host in hosts))

    def take_terms(self, terms: PublishTerms) -> Callable[[], None]:
        """Go by these from now on; returns what takes that back.

        What a publisher that is here has shown, or a reactor has approved, stays good, and an interrupted stream keeps
        the grace that it has.
        """
        before = PublishTerms(self.reactor, self.on_busy, self.grace, self.access, self.stall_after)
        self._go_by(terms)
        return partial(self._go_by, before)

    def _go_by(self, terms: PublishTerms) -> None:
        self.reactor, self.on_busy, self.access = terms.reactor, terms.on_busy, terms.access
        self.grace, self.stall_after = terms.grace, terms.stall_after
        self._alarm.deadline = self._next_alarm()

    # A publisher comes.

    async def publish(self, key: str, client: Client, query: Query = NO_QUERY) -> PublisherTurn:
        """Start the stream of a publisher of `key`, or let it go on with the stream that the key has.

        Raises `RequestRefused`, with nothing changed, where it lacks the token, or where somebody else publishes it
        and may not be displaced, here or at another node, or where there are too many streams.
        """
        request = self.as_request("publish", key, self.access.rest(query), client)
        await let_in(self.access, request, query, client, PUBLISH_DENIED)  # before it can be seen which keys are busy
        self._refuse_if_impossible(key, client)
        newcomer = PublisherTurn(request, client, self, self.access.name)
        newcomer.release = await approved(self.reactor, request, client, newcomer.revoke, BAD_NAME)
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._refuse_if_impossible(key, client)
            if self.claimed is not None and key not in self._streams:
                await self._claim(newcomer, self.claimed)
                self._refuse_if_impossible(key, client)
            await self._install(newcomer)
        except BaseException:
            newcomer.vanish()
            raise
        finally:
            if newcomer.held is not None:
                newcomer.held.release()
        return newcomer

    async def _claim(self, newcomer: "PublisherTurn", claimed: ClaimedKeys) -> None:
        """Have the key in the cluster; a stream that begins takes it over from `newcomer`."""
        key = newcomer.key
        held = newcomer.held = await claimed.hold(
            StreamKey(newcomer.request.app or "", key), lambda why: self._lose(key, held, why)
        )
        if held.lost is not None:
            raise RequestRefused(BAD_NAME, held.lost, RejectReason.KEY_ELSEWHERE)

    def _lose(self, key: str, held: HeldKey, why: str) -> None:
        """The key is another node's: what is sent there is the stream now."""
        stream = self._streams.get(key)
        if stream is not None and stream.held is held:
            stream.send_away(why)

    def _refuse_if_impossible(self, key: str, client: Client) -> None:
        stream = self._streams.get(key)
        if stream is None:
            self._refuse_if_full(client)
        elif stream.ends_at is None and not self._may_displace(stream.source, client):
            raise RequestRefused(BAD_NAME, f"stream key '{key}' is being published already", RejectReason.KEY_BUSY)

    def _refuse_if_full(self, client: Client) -> None:
        if self.room.is_full or len(self._streams) >= self.max_streams:
            raise RequestRefused(BAD_NAME, "there are as many streams as may be", RejectReason.STREAMS)
        if not self.room.memory.has_room_for(client.peer_host):
            raise RequestRefused(BAD_NAME, "there is no memory for another stream", RejectReason.MEDIA_BYTES)

    def _may_displace(self, publication: "PublisherTurn", client: Client) -> bool:
        if self.on_busy is OnBusy.SAME_SOURCE:
            # Who has come this far has shown the same token as the publisher there is.
            return self.access.token is not None or publication.client.peer_host == client.peer_host
        return self.on_busy is OnBusy.TAKEOVER

    async def _install(self, newcomer: "PublisherTurn") -> None:
        """The key changes hands without a checkpoint; the rest is waiting."""
        stream = self._streams.get(newcomer.key) or self._begin(newcomer)
        took_over = self._hand_over(stream, newcomer)
        await stream.wait_silent()
        if not newcomer.is_live:
            return  # another one has displaced it meanwhile
        if stream.is_announced:
            self._resume(stream, took_over)
        else:
            await stream.send([StreamStarted(stream.stream_id, stream.key, stream.origin)], self.outbox)
            stream.is_announced = True

    def _hand_over(self, stream: PublishedStream, newcomer: "PublisherTurn") -> bool:
        """Whether there was a publisher that had to give way."""
        former, stream.source, newcomer.stream = stream.source, newcomer, stream
        newcomer.stream_id = stream.stream_id
        stream.source_is_gone()
        stream.origin.change(newcomer.request)  # which forwarders ask by, before the former lets go
        self.room.wait_no_more(stream)
        if stream.held is not None:
            stream.held.wait_no_more()
        client = newcomer.client
        stream.bytes_owner = self.room.memory.own(stream.stream_id, client.peer_host, client.mark)
        took_over, stream.ends_at = stream.ends_at is None, None
        stream.heard_at, stream.is_stalled = trio.current_time(), False
        self._watch_for_silence(stream)
        if former is not newcomer:
            former.step_aside()
        return took_over

    def _begin(self, first: "PublisherTurn") -> PublishedStream:
        self._count += 1
        stream_id = StreamId(f"{self.context.workflow}/{self.context.step_id}/{self._count}")
        stream = self._streams[first.key] = PublishedStream(
            stream_id, first.key, first, StreamOrigin(first.request), trio.current_time()
        )
        stream.held, first.held = first.held, None
        stream.entry = self.on_air.begin(
            stream_id, first.key, self.context, stream.now, send_away=stream.send_away, app=first.request.app
        )
        self.room.present += 1
        return stream

    def _resume(self, stream: PublishedStream, took_over: bool) -> None:
        gap = _milliseconds_since(stream.last_sent)
        self.outbox.restart_stream(stream.stream_id, gap)
        self._news(stream).resumed(gap, took_over=took_over)

    # A publisher is silent.

    def heard(self, stream: PublishedStream, size: int, now: float) -> None:
        """Its source has sent `size` bytes of media."""
        self.received_bytes += size
        stream.heard_at = now
        if stream.is_stalled:
            stream.is_stalled = False
            self._news(stream).resumed(_milliseconds_since(stream.last_sent))
            self._watch_for_silence(stream)

    def _watch_for_silence(self, stream: PublishedStream) -> None:
        self._alarm.deadline = min(self._alarm.deadline, self._stalls_at(stream))

    def _stalls_at(self, stream: PublishedStream) -> float:
        is_watched = self.stall_after and stream.ends_at is None and not stream.is_stalled
        return stream.heard_at + self.stall_after if is_watched else inf

    def _tell_stalled(self, stream: PublishedStream) -> None:
        stream.is_stalled = True
        self._news(stream).stalled(self.stall_after)

    # A publisher goes.

    def interrupt(self, stream: PublishedStream) -> None:
        """The publisher is gone and has not said goodbye: wait for its return, where that is wanted."""
        stream.source_is_gone()
        may_wait = self.grace and stream.is_announced and not self._is_closed and self._may_come_back(stream)
        if not may_wait or not self.room.is_worth_waiting_for(stream.on_air):
            self.end(stream)
            return
        end_stream = partial(self.end, stream)
        self.room.wait_for(stream, stream.source.client.peer_host, end_stream)
        if stream.held is not None:
            stream.held.wait_for_publisher(end_stream)
        stream.grace, stream.ends_at = self.grace, trio.current_time() + self.grace
        self.room.memory.leave(stream.stream_id)
        self._alarm.deadline = min(self._alarm.deadline, stream.ends_at)
        self._news(stream).interrupted(self.grace)

    def _may_come_back(self, stream: PublishedStream) -> bool:
        """Whether its publisher would be let in; where not, the key is of use to another node of its cluster alone."""
        return stream.held is None or self.on_air.takes_publishers

    def end(self, stream: PublishedStream) -> None:
        """Free the key, and let later steps know."""
        if self._streams.get(stream.key) is stream:
            del self._streams[stream.key]
            self.room.present -= 1
            self.on_air.end(stream.entry)
            self.room.memory.disown(stream.stream_id)
            self.room.wait_no_more(stream)
            self.outbox.end_stream(stream.stream_id)
            stream.source.let_go()
            # What knows the stream is no more than that: only the collector would take such circles away.
            stream.source.stream = None
            del stream.entry
            if stream.held is not None:
                stream.held.release()

    async def end_overdue(self) -> None:
        """End interrupted streams when their time is up, and notice those that stall, until cancelled.

        A stream that sends does not set the alarm anew: it goes off about once in `stall_after`, and looks.
        """
        while True:
            with trio.CancelScope(deadline=self._next_alarm()) as self._alarm:
                await trio.sleep_forever()
            now = trio.current_time()
            for stream in list(self._streams.values()):
                if self._stalls_at(stream) <= now:
                    self._tell_stalled(stream)
                elif stream.ends_at is not None and stream.ends_at <= now:
                    self._news(stream).given_up(stream.grace)
                    self.end(stream)

    def _news(self, stream: PublishedStream) -> StreamNews:
        return StreamNews(self.context, stream.stream_id, stream.key)

    def _next_alarm(self) -> float:
        streams = self._streams.values()
        return min((self._stalls_at(s) if s.ends_at is None else s.ends_at for s in streams), default=inf)

    def close(self) -> None:
        """The step ends: nobody is waited for any more."""
        self._is_closed = True
        for stream in list(self._streams.values()):
            if stream.ends_at is not None:
                self.end(stream)

    def counts(self) -> Counts:
        """See `StepContext.show_counts`."""
        return {(STEP_PUBLISHERS, ()): self.count().publishers, (STEP_RECEIVED, ()): self.received_bytes}

    def describe(self) -> Sequence[StreamStatus]:
        """The streams that are interrupted or stalled."""
        now = trio.current_time()
        return [
            _interrupted(stream.key, max(stream.ends_at - now, 0.0)) if stream.ends_at is not None else _stalled(stream)
            for stream in self._streams.values()
            if stream.ends_at is not None or stream.is_stalled
        ]


def _interrupted(name: str, left: float) -> StreamStatus:
    message = f"interrupted; ends in {left:.1f} s unless a publisher comes back"
    return StreamStatus(name, message, "interrupted", left)


def _stalled(stream: PublishedStream) -> StreamStatus:
    silent = _milliseconds_since(stream.last_sent) / 1000
    return StreamStatus(stream.key, f"stalled; its publisher has sent no media for {silent:.1f} s", "stalled")


def _milliseconds_since(time: float) -> int:
    return round((trio.current_time() - time) * 1000)
