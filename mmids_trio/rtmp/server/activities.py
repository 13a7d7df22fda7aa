"""What one RTMP client does: the streams that it publishes, the one that it plays, and what it still waits for.

Apart from the session, which reads bytes and keeps time, because this half knows steps and no sockets.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from math import inf
from typing import TypeVar, cast

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.fanout.output import Output
from mmids_trio.fanout.subscriber import Delivery, Subscriber
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.on_air.directory import ClientEntry, ClientSource, OnAir
from mmids_trio.on_air.views import Asked, ClientNow, ClientRole, ClientState, Peer
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.ingest import Media, media_events
from mmids_trio.rtmp.protocol import events as said
from mmids_trio.rtmp.protocol.oddities import Oddity
from mmids_trio.rtmp.protocol.requests import PlayRequest, PublishRequest
from mmids_trio.rtmp.protocol.server_connection import ServerConnection
from mmids_trio.rtmp.rendering import for_message_stream
from mmids_trio.rtmp.server.endpoints import (
    Client,
    Directory,
    Endpoint,
    Publication,
    PublishHandler,
    RequestRefused,
    Viewing,
    WatchHandler,
    admit,
    refuse_banned,
    refuse_while_draining,
)
from mmids_trio.rtmp.server.registrations import Role

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

Request = TypeVar("Request", PublishRequest, PlayRequest)

STATES: Mapping[Delivery, ClientState] = {Delivery.FOLLOWING: "watching", Delivery.PAUSED: "paused"}
"""How a watcher is shown to be; any other waits for a key frame, or for a stream."""

MediaByStream = dict[int, list[MediaEvent]]
"""What one read brought, by the message stream that it came on."""


@frozen
class Playing:
    """What a connection watches: its message stream, its place in front of a channel, and what the channel sends to."""

    stream: int
    viewing: Viewing
    subscriber: Subscriber


class Got(Enum):
    """The best of what one read brought."""

    NO_MEDIA = "nothing for a stream"
    ANNOUNCEMENT = "metadata or headers, after which frames can be expected"
    FRAME = "at least one frame"


@define(eq=False)
class Activities:
    """Everything that one client does.

    `on_refusal` is told, after the answer was queued, that it may not; `on_change`, that it does something else.
    `max_streams`: that it may publish at a time; one too many is refused, and the others go on.
    """

    client: Client
    port: int
    peer_host: str
    directory: Directory
    connection: ServerConnection
    output: Output
    on_refusal: Callable[[str, RejectReason], None]
    on_change: Callable[[], None]
    max_streams: float = inf
    rejections: RejectCounters = field(factory=RejectCounters)
    peer_port: int = 0
    protocol: str = "rtmp"
    on_air: OnAir = field(factory=OnAir)
    """Where the client is seen, once for each stream that it publishes or plays."""
    agent: str = field(default="", init=False)
    """What program it says that it is."""
    why: str = field(default="it left", init=False)
    """Why the client is gone, for who is told of that."""
    playing: Playing | None = field(default=None, init=False)
    changed_at: float = field(factory=trio.current_time, init=False)
    """When it began or ended something last."""
    _subscriber: Subscriber | None = field(default=None, init=False)
    """Made with the first play, and kept: what a player wishes holds for its next stream as well."""
    _publications: dict[int, Publication] = field(factory=dict, init=False)
    _clocks: dict[int, SourceClock] = field(factory=dict, init=False)
    """Of each publication."""
    _entries: dict[int, ClientEntry] = field(factory=dict, init=False)
    """By which it is seen, of each message stream."""
    _approvals: dict[int, trio.CancelScope] = field(factory=dict, init=False)
    _endpoints: dict[int, Endpoint] = field(factory=dict, init=False)
    """Who serves each message stream."""
    _logs: dict[int, structlog.typing.FilteringBoundLogger] = field(factory=dict, init=False)
    """Says, for each message stream, what lines about it are about."""

    @property
    def is_publishing(self) -> bool:
        """Whether media is expected from the client."""
        return bool(self._publications)

    @property
    def is_idle(self) -> bool:
        """Whether the client neither publishes, nor plays, nor waits for an approval."""
        return not (self._publications or self._approvals or self.playing)

    # Media.

    @property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """For lines about the client: they name the step that served it last, if one did."""
        return next(reversed(self._logs.values()), log)

    async def act_on(self, events: list[said.Event], nursery: trio.Nursery) -> Got:
        """Act on what the client said; media of one read goes on as one batch. Approvals run in `nursery`.

        Returns what there was of media.
        """
        media: MediaByStream = {}
        got = Got.NO_MEDIA
        for event in events:
            if isinstance(event, (said.MediaReceived, said.MetadataReceived, said.DataReceived)):
                if publication := self._publications.get(event.stream):
                    incoming = self._incoming(publication, event)
                    if got is not Got.FRAME:
                        got = best_of(incoming)
                    media.setdefault(event.stream, []).extend(incoming)
            else:
                await self._hand_on(media)
                self._act(event, nursery)
        await self._hand_on(media)
        return got

    @property
    def only_publication(self) -> Publication | None:
        """That of a client who publishes one stream and has nothing else in mind."""
        if len(self._publications) != 1 or self._approvals:
            return None
        (publication,) = self._publications.values()
        return publication

    def hand_on_nowait(self, publication: Publication, frames: said.MediaReceived) -> Got:
        """Hand on frames of `only_publication`, which `takes_now`; what there was of media."""
        if self._publications.get(frames.stream) is not publication:
            return Got.NO_MEDIA
        incoming = self._incoming(publication, frames)
        publication.send_nowait(incoming)
        return best_of(incoming)

    def _incoming(self, publication: Publication, media: Media) -> list[MediaEvent]:
        clock = self._clocks[media.stream]
        clocks_set = clock.clocks_set
        incoming = media_events(publication.stream_id, media, clock)
        for _ in range(clocks_set, clock.clocks_set):
            self.on_air.clock_was_set(publication.stream_id)
            self.connection.oddities.note(Oddity.CLOCK, f"stream {media.stream} goes on where its timeline stands")
        return incoming

    async def _hand_on(self, media: MediaByStream) -> None:
        for stream, events in media.items():
            await self._publications[stream].send(events)
        media.clear()

    def _act(self, event: said.Event, nursery: trio.Nursery) -> None:
        match event:
            case said.ConnectRefused(description=description):
                self.on_refusal(description, RejectReason.UNKNOWN_NAME)
            case said.PublishRequested(request=publish):
                self._consider_publish(publish, nursery)
            case said.PlayRequested(request=play):
                self._consider(play, self._approve_play, nursery)
            case said.PublishEnded(stream=stream) | said.PlayEnded(stream=stream):
                self._stop(stream)
                self._leave(stream)
        if self.playing is not None:
            _change_delivery(self.playing.subscriber, event)

    # Ends.

    def let_go(self) -> None:
        """The client is gone: end what it published, stop what it played."""
        for stream, publication in list(self._publications.items()):
            publication.vanish()
            self._stop(stream)
        if self.playing is not None:
            self._stop(self.playing.stream)

    def detach(self) -> None:
        """Tell the endpoints that nothing of the client is left. It is the last that is asked of this."""
        for endpoint in set(self._endpoints.values()):
            endpoint.detach(self.client)
        del self.client, self.on_refusal, self.on_change  # the client knows this

    def send_away(self, reason: str) -> None:
        """Disconnect the client for good: what it publishes ends now, whatever time there is for its return."""
        for publication in list(self._publications.values()):
            publication.end()
        self.client.dismiss(reason)

    def _stop(self, stream: int) -> None:
        if approval := self._approvals.get(stream):
            approval.cancel()
        self._clocks.pop(stream, None)
        if entry := self._entries.pop(stream, None):
            self.on_air.leave(entry, self.why)
        if publication := self._publications.pop(stream, None):
            publication.end()
            self._logs[stream].info("publisher left")
        if self.playing is not None and self.playing.stream == stream:
            self.playing.viewing.channel.discard(self.playing.subscriber)
            self.playing.viewing.end()
            self.playing = None
            self._logs[stream].info("watcher left")
        self._changed()

    def _leave(self, stream: int) -> None:
        """Have no more to do with the endpoint that served `stream`: its end is not this client's any more."""
        endpoint = self._endpoints.pop(stream, None)
        if endpoint is not None and endpoint not in self._endpoints.values():
            endpoint.detach(self.client)

    def _changed(self) -> None:
        self.changed_at = trio.current_time()
        self.on_change()

    # Approvals.

    def _consider(self, request: Request, approve: Callable[[Request], Awaitable[None]], nursery: trio.Nursery) -> None:
        """Begin to look at a request. Synchronous, so that what the client says next can withdraw it."""
        scope = self._approvals[request.stream] = trio.CancelScope()
        self.agent = request.connect.flash_version
        self._changed()
        nursery.start_soon(self._answer, request, approve, scope)

    def _consider_publish(self, request: PublishRequest, nursery: trio.Nursery) -> None:
        """Publishers that nobody has answered yet count: each may hold early media."""
        others = (self._publications.keys() | self._approvals.keys()) - {request.stream}
        if len(others) < self.max_streams:
            self._consider(request, self._approve_publish, nursery)
            return
        self.rejections.count(RejectReason.STREAMS_OF_CONNECTION)
        what = f"a connection can publish {self.max_streams} streams at a time"
        self.connection.refuse_publish(request, description=what)

    async def _answer(
        self, request: Request, approve: Callable[[Request], Awaitable[None]], scope: trio.CancelScope
    ) -> None:
        """Runs until the request is answered or withdrawn; a `RequestRefused` becomes the answer."""
        try:
            with scope:
                await trio.lowlevel.checkpoint_if_cancelled()
                await approve(request)
        except RequestRefused as refusal:
            self._refuse(request, refusal)
        finally:
            if self._approvals.get(request.stream) is scope:
                del self._approvals[request.stream]
            self._changed()
        self._reply()

    async def _approve_publish(self, request: PublishRequest) -> None:
        refuse_while_draining(self.on_air)
        endpoint = await self._admitted(Role.PUBLISH, request)
        publication = await cast(PublishHandler, endpoint.handler).publish(request.key, self.client, request.query)
        try:
            refuse_while_draining(self.on_air)
            refuse_banned(self.on_air.bans, Role.PUBLISH, request, self.peer_host)
        except RequestRefused:
            publication.end()
            raise
        others_are_due = self.connection.has_due
        if not self.connection.accept_publish(request):
            publication.end()
            return
        self._publications[request.stream], self._clocks[request.stream] = publication, SourceClock()
        self._be_seen(request, "publisher", self._as_publisher(publication.stream_id), publication.token)
        self._logs[request.stream].info("publisher joined", app=request.app)
        if self.connection.has_due and publication.takes_now and not others_are_due:
            self._hand_on_early(publication)

    def _hand_on_early(self, publication: Publication) -> None:
        """What it sent before it was accepted. Synchronous, so that no end of the connection comes between.

        Where it would have to wait, the reader does it.
        """
        try:
            early = self.connection.take_due()
        except ProtocolError:
            return  # still due: the reader meets it, too, and ends the connection
        incoming: list[MediaEvent] = []
        for event in early:
            assert isinstance(event, said.MediaReceived | said.MetadataReceived | said.DataReceived)
            incoming += self._incoming(publication, event)
        if incoming:
            publication.send_nowait(incoming)

    async def _approve_play(self, request: PlayRequest) -> None:
        endpoint = await self._admitted(Role.WATCH, request)
        if self.playing is not None:
            raise RequestRefused("NetStream.Play.Failed", "a connection can play one stream at a time")
        viewing = await cast(WatchHandler, endpoint.handler).watch(request.key, self.client, request.query)
        try:
            refuse_banned(self.on_air.bans, Role.WATCH, request, self.peer_host)
        except RequestRefused:
            viewing.end()
            raise
        if self.playing is not None or not self.connection.accept_play(request):
            viewing.end()
            return
        if self._subscriber is None:
            self._subscriber = Subscriber(self.output)
        self.playing = Playing(request.stream, viewing, self._subscriber)
        self._reply()  # what announces the media goes out before them
        viewing.channel.add(self._subscriber, for_message_stream(request.stream))
        self._be_seen(request, "watcher", self._as_watcher(self._subscriber), viewing.token)
        waits = {} if viewing.channel.is_live else {"waits": "nobody publishes this key yet"}
        self._logs[request.stream].info("watcher joined", app=request.app, **waits)

    def _be_seen(
        self, request: PublishRequest | PlayRequest, role: ClientRole, source: ClientSource, token: str | None
    ) -> None:
        peer = Peer(self.protocol, self.peer_host, self.peer_port, request.connect.flash_version)
        owner = self._endpoints[request.stream].owner
        asked = Asked(role, request.app, request.key, token)
        self._entries[request.stream] = self.on_air.join(peer, asked, owner, source)

    def _as_publisher(self, stream_id: StreamId) -> ClientSource:
        stream = self.on_air.stream_of(stream_id)  # also when it has ended: its last publisher is asked after that
        before = 0 if stream is None else stream.meter.bytes

        def now() -> ClientNow:
            return ClientNow("publishing", 0 if stream is None else max(stream.meter.bytes - before, 0))

        return ClientSource(stream_id=lambda: stream_id, now=now, send_away=self.send_away)

    def _as_watcher(self, subscriber: Subscriber) -> ClientSource:
        def now() -> ClientNow:
            behind_ms, behind = subscriber.lag
            state = STATES.get(subscriber.delivery, "waiting") if subscriber.stream_id else "waiting"
            return ClientNow(state, subscriber.bytes_sent, behind_ms, behind, subscriber.skips)

        return ClientSource(stream_id=lambda: subscriber.stream_id, now=now, send_away=self.send_away)

    async def _admitted(self, role: Role, request: PublishRequest | PlayRequest) -> Endpoint:
        endpoint = await admit(self.directory, role, self.port, request, self.peer_host, bans=self.on_air.bans)
        await trio.lowlevel.checkpoint_if_cancelled()  # withdrawn: what follows would undo its successor's work
        self._leave(request.stream)
        self._endpoints[request.stream] = endpoint
        owner = endpoint.owner
        self._logs[request.stream] = log.bind(workflow=owner.workflow, step_id=owner.step_id, stream=request.key)
        endpoint.attach(self.client)
        return endpoint

    def _refuse(self, request: PublishRequest | PlayRequest, refusal: RequestRefused) -> None:
        """Say so and part, unless the client has withdrawn the request meanwhile."""
        if isinstance(request, PublishRequest):
            said_so = self.connection.refuse_publish(request, refusal.code, str(refusal))
        else:
            said_so = self.connection.refuse_play(request, refusal.code, str(refusal))
        if said_so:
            self._leave(request.stream)  # a step that ends need not wait for who only reads why it may not
            self.on_refusal(str(refusal), refusal.guard)

    def _reply(self) -> None:
        if data := self.connection.data_to_send():
            self.output.write(data)


def _change_delivery(subscriber: Subscriber, event: said.Event) -> None:
    """Do what a player wishes of the media that it gets."""
    match event:
        case said.PlayPaused(paused=True):
            subscriber.pause()
        case said.PlayPaused():
            subscriber.resume()
        case said.AudioWanted(wanted=wanted):
            subscriber.receive_audio(wanted)
        case said.VideoWanted(wanted=wanted):
            subscriber.receive_video(wanted)


def best_of(media: Sequence[MediaEvent]) -> Got:
    """What a publisher has shown by this; the first packet says it, as a rule."""
    for event in media:
        if isinstance(event, MediaPacket) and not event.is_sequence_header:
            return Got.FRAME
    return Got.ANNOUNCEMENT
