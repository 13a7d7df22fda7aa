"""One connection of the media listener: reads its requests, answers them one after another, or streams FLV over it.

Everything but the wait for bytes (one task's for all, `CrowdReader`) and for who has to approve is synchronous: a
request that waits for a part is parked without a task, and whoever closes the part answers it (`settle`).  What the
socket does not take at once, the task of the output sends, as for subscribers of the fan-out.

    reading --request--> approving (a task) | parked | sending --all sent--> reading
    approving --FLV--> streaming, until either side ends it
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import cast

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.addresses import IpNetwork
from mmids_trio.delivery import answers, places
from mmids_trio.delivery.answers import Answer, text_answer
from mmids_trio.delivery.flv import header_for, without_chunks
from mmids_trio.delivery.forwarded import client_behind
from mmids_trio.delivery.hls_channel import Asked as HlsRequest
from mmids_trio.delivery.hls_channel import multivariant
from mmids_trio.delivery.hls_files import FileKind, HlsFile, HlsHandler, directives, read_file
from mmids_trio.delivery.hls_viewers import HlsViewer, HlsViewers
from mmids_trio.delivery.places import Asset, Place, read_path
from mmids_trio.delivery.requests import MAX_HEAD, METHODS, BadRequest, Request, RequestReader
from mmids_trio.delivery.site import NoSite, Site
from mmids_trio.fanout.output import MAX_SEND, Output, OutputEnd
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.net.crowd_reader import CrowdReader
from mmids_trio.net.transport import Transport
from mmids_trio.on_air.directory import ClientEntry, ClientSource, OnAir
from mmids_trio.on_air.views import Asked, ClientNow, Peer
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.rtmp.protocol.requests import ConnectRequest, PlayRequest, Query, parse_query
from mmids_trio.rtmp.server.activities import STATES
from mmids_trio.rtmp.server.endpoints import (
    Directory,
    Endpoint,
    RequestRefused,
    Viewing,
    WatchHandler,
    admit,
    refuse_banned,
)
from mmids_trio.rtmp.server.registrations import Claim, Role
from mmids_trio.rtmp.server.session import ENDS, READ_SIZE, name_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

HEAD_SECONDS = 10.0
"""From the first byte of a request to its last."""

ALL_FORMATS = ("hls", "flv")
"""What a key may be served as."""

IDLE_SECONDS = 30.0
"""How long a connection may ask for nothing; players ask every few seconds."""

ANSWER_SECONDS = 60.0
"""What one answer may take to be sent: a segment that takes longer than this is not watched live."""

WAIT_SECONDS = 60.0
"""How long a viewer of FLV may wait for a stream; without a word on the way, nobody can tell whether it is there."""

MAX_AT_ONCE = 1024 * 1024
"""Bytes that one call of send is given: a segment goes out in one, where the socket takes it. In calls of `MAX_SEND`
one of 660 kB costs 17 % more."""

SMALL = 16 * 1024
"""Bytes of a body that is copied behind its head, so that both go out in one call."""

MAX_REFUSALS = 16
"""Answers of 4xx on one connection, after which it is closed."""

Serve = Callable[[Request, Place], Awaitable[None]]
"""Serves a request of whom has to be approved; raises `RequestRefused`."""

NO_ROOM = "NetStream.Play.Failed"
"""A code of RTMP, which refusals have."""

STATUS = {RejectReason.MEDIA_SESSIONS: 503, RejectReason.UNKNOWN_NAME: 404, RejectReason.QUESTIONS: 503}
"""Of a refusal, where it is not 403."""


@frozen(eq=False)
class MediaBounds:
    """What the sessions of one server share."""

    site: Site = field(factory=NoSite)
    on_air: OnAir = field(factory=OnAir)
    origins: tuple[str, ...] = ("*",)
    """Pages of which origins may read media."""
    proxies: tuple[IpNetwork, ...] = ()
    """Who is believed when it says whose a request is."""
    date: Callable[[], str] = field(default=lambda: "Thu, 01 Jan 1970 00:00:00 GMT")


@define(eq=False)
class MediaSession:
    """See the module; `run` owns the transport."""

    transport: Transport
    port: int
    directory: Directory
    rejections: RejectCounters = field(factory=RejectCounters)
    bounds: MediaBounds = field(factory=MediaBounds)
    crowd: CrowdReader = field(factory=CrowdReader)
    """Reads it, while it runs."""
    mark: object = field(factory=object, init=False)
    """See `endpoints.Client`."""
    _reader: RequestReader = field(factory=RequestReader, init=False)
    _output: Output = field(init=False)
    _at_once: int = field(init=False)
    """Bytes that one send is given at most; encryption holds what it is given, so it gets no more than from others."""
    _unsent: deque[memoryview] = field(factory=deque, init=False)
    """Of the answer that is being sent."""
    _host: str = field(init=False)
    """Whose the request is."""
    _request: Request | None = field(default=None, init=False)
    """What is to be answered."""
    _since: float = field(factory=trio.current_time, init=False)
    """When the wait began for whatever comes next."""
    _is_pumping: bool = field(default=False, init=False)
    _closes: bool = field(default=False, init=False)
    """Whether nothing follows the answer that is being sent."""
    _lingers: bool = field(default=False, init=False)
    """Whether the client has time to read the last answer: a close with bytes unread may overtake it."""
    agent: str = field(default="", init=False)
    """What program the client says that it is."""
    _why: str = field(default="it left", init=False)
    """Why it is gone."""
    _refusals: int = field(default=0, init=False)
    _watching: "_Watching | None" = field(default=None, init=False)
    _endpoint: Endpoint | None = field(default=None, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _claim: Claim[Endpoint] | None = field(default=None, init=False)
    """Who served what was asked for last; who it was looked up for, while it serves."""
    _claimed: tuple[str, str] = field(default=("", ""), init=False)
    """Application and key of that."""
    _handler: HlsHandler | None = field(default=None, init=False)
    """Its step."""
    _viewers: HlsViewers | None = field(default=None, init=False)
    """Those of that step."""
    _life: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether that was cancelled; to ask it costs a look at the clock."""
    _context: Context = field(factory=copy_context, init=False)
    """Of its own task, also where another one reads."""
    _failures: list[Exception] = field(factory=list, init=False)
    """What `read_nowait` met, for the own task to end with: one, or none.

    A list, as who raises it must have no name for it: its traceback would know that, and wait for the collector."""
    _log: structlog.typing.FilteringBoundLogger = field(default=log, init=False)

    def __attrs_post_init__(self) -> None:
        self._host = self.transport.peer_host
        self._output = Output(self.transport)
        self._output.feed = self
        self._at_once = MAX_SEND if self.transport.takes_ahead else MAX_AT_ONCE

    async def run(self) -> None:
        """Serve the client until it leaves, breaks the protocol, is silent for too long or is dismissed."""
        try:
            with self._life:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._send)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._let_go()
            try:
                await self._output.say_goodbye(lingers=self._lingers)
            finally:
                self.transport.close()
                self._leave()
                self._output.feed = None  # nothing of the connection waits for the collector

    def make_way(self) -> None:
        """See `hls_channel.Asker`."""
        self.crowd.make_way()

    # What an endpoint sees.

    @property
    def peer_host(self) -> str:
        """See `endpoints.Client`: of the request that came last, as a proxy's connection has those of many."""
        return self._host

    def dismiss(self, reason: str = "what it used has ended") -> None:
        """Disconnect the client. Synchronous."""
        self._end(reason)

    # What the output asks; see `MediaFeed`.

    @property
    def is_due(self) -> bool:
        """See `MediaFeed`."""
        return bool(self._unsent)

    def send_next(self) -> bool:
        """See `MediaFeed`."""
        data = self._unsent[0]
        sent = self._output.send_some(data, self._at_once)
        if sent == len(data):
            self._unsent.popleft()
        else:
            self._unsent[0] = data[sent:]
        return sent == min(len(data), self._at_once)

    def reached_head(self) -> None:
        """See `MediaFeed`."""

    def output_changed(self) -> None:
        """See `MediaFeed`: what was to be sent may be out."""
        if not self._is_pumping and (self._closes or self._reader.held):
            self._pump(trio.current_time())

    # Requests.

    async def _read(self) -> None:
        try:
            while data := await self._receive():
                self._take(data, trio.current_time())
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._end(f"connection lost: {error}")
            return
        if not self._is_over and self._output.blocked:  # it only says that it asks for nothing more
            self._closes = True
            await trio.sleep(ANSWER_SECONDS)

    def read_nowait(self, now: float) -> bool:
        """See `crowd_reader.OneOfMany`. The end is for the own task, and whatever goes wrong."""
        try:
            data = self.transport.receive_nowait(READ_SIZE)
            if data:
                self._context.run(self._take, data, now)
        except Exception as error:
            self._failures.append(error)
            return False
        return bool(data) and not self._is_over

    def _take(self, data: bytes, now: float) -> None:
        if self._watching is not None:
            self._watching.said += len(data)
            if self._watching.said > MAX_HEAD:
                self._end("it said more than a viewer has to say", RejectReason.MEDIA_REQUEST)
            return
        if not (self._is_busy or self._closes):
            request = self._reader.next_at_once(data)
            if request is not None:
                self._begin(request, now)
                return
        was_held = bool(self._reader.held)
        try:
            self._reader.receive(data)
        except BadRequest as error:
            self._refuse_bytes(error)
            return
        self._pump(now)
        if not was_held and self._reader.held:
            self._since = now

    def _pump(self, now: float) -> None:
        """Answer what is there, one after another, as far as that goes without waiting."""
        self._is_pumping = True
        try:
            while self._reader.held and not (self._is_busy or self._closes):
                request = self._reader.next_request()
                if request is None:
                    break
                self._begin(request, now)
        except BadRequest as error:
            self._refuse_bytes(error)
        finally:
            self._is_pumping = False
        if self._closes and not self._is_busy:
            self._end("the last answer was sent")

    @property
    def _is_busy(self) -> bool:
        return (
            self._request is not None
            or self._watching is not None
            or bool(self._unsent)
            or self._output.blocked
            or self._is_over
        )

    def _refuse_bytes(self, error: BadRequest) -> None:
        """What came is no request, so what follows cannot be read either."""
        self.rejections.count(RejectReason.MEDIA_REQUEST)
        self._log.info("connection closes", connection=name_of(self.transport), reason=f"bad request: {error}")
        self._request = Request("GET", "/")
        self._closes = self._lingers = True
        self.answer(text_answer(error.status, str(error)))

    def _begin(self, request: Request, now: float) -> None:
        self._request = request
        if self.bounds.proxies:
            header = request.headers.get("x-forwarded-for")
            self._host = client_behind(self.transport.peer_host, header, self.bounds.proxies)
        self._since = now
        if not request.keeps_alive:
            self._closes = True
        if request.method not in METHODS:
            self.answer(text_answer(405, "only GET, HEAD and OPTIONS are answered here", ("Allow", answers.ALLOWED)))
        elif request.method == "OPTIONS":
            self.answer(answers.preflight(self.bounds.origins, request.headers))
        else:
            self._route(request)

    def _route(self, request: Request) -> None:
        place = read_path(request.path)
        if isinstance(place, Asset):
            self.answer(self.bounds.site.asset(place.name, request) or _nothing_here())
        elif place is None:
            self.answer(_nothing_here())
        elif place.what == places.FLV:
            self._wait_for(self._watch, request, place)
        elif place.what == places.THUMBNAIL:
            self._wait_for(self._look, request, place)
        elif place.what == places.INDEX:
            self._wait_for(self._begin_hls, request, place)
        elif (file := read_file(place.what)) is not None:
            self._hls(request, place, file)
        elif place.what == places.PAGE and (formats := self._formats(place)):
            self.answer(self.bounds.site.page(place, request, formats))
        else:
            self.answer(_nothing_here())

    def _formats(self, place: Place) -> Sequence[str]:
        """As what a step serves the key; all that there are where one is about to, none where none does."""
        wanted = Role.WATCH, self.port, place.app, place.key
        claim = self.directory.find(*wanted)
        if claim is not None:
            return cast(HlsHandler, claim.endpoint.handler).formats
        return () if self.directory.expected(*wanted) is None else ALL_FORMATS

    # Answers.

    def answer(self, answer: Answer, query: bytes = b"", now: float | None = None) -> None:
        """Answer the request; synchronous. What does not go out at once is sent by the output's task.

        `now`: for who has looked at the clock, which costs as much as a third of this.
        """
        request = self._request
        if request is None or self._is_over:
            return
        self._request, self._since = None, trio.current_time() if now is None else now
        if answer.status >= 400:  # noqa: PLR2004  (client errors and ours)
            self._refusals += 1
            self._closes = self._closes or self._refusals >= MAX_REFUSALS
        if answer.has_parts and "range" in request.headers:
            answer = answer.within(request.headers["range"])
        if answer.is_shared and self._is_plain(request):
            whole = answer.whole
            if whole is None:
                whole = answer.whole = b"".join((self._head(answer, request), *answer.body))
            self._hand_over(whole.replace(answer.mark, query) if answer.mark else whole)
            return
        if answer.mark:
            answer = answer.made_for(query)
        body = answer.body if request.wants_body else ()
        if answer.size <= SMALL:
            self._hand_over(b"".join((self._head(answer, request), *body)))
        else:
            self._hand_over(self._head(answer, request), *body)

    def _is_plain(self, request: Request) -> bool:
        """Whether it gets the same bytes as most."""
        is_for_all = "origin" not in request.headers or self.bounds.origins == ("*",)
        return is_for_all and request.method == "GET" and not request.is_1_0 and not self._closes

    def _head(self, answer: Answer, request: Request) -> bytes:
        size = None if answer.status in (204, 304) else answer.size
        common, keeps_alive = self._common(request), not self._closes
        return answers.head(answer.status, answer.headers, common, size, keeps_alive=keeps_alive, is_1_0=request.is_1_0)

    def _common(self, request: Request) -> answers.Headers:
        return (*answers.cors(self.bounds.origins, request.headers), ("Date", self.bounds.date()))

    def _hand_over(self, data: bytes, *more: bytes | memoryview) -> None:
        output = self._output
        if more or (size := len(data)) > self._at_once or output.blocked or output.end:
            self._unsent.extend(memoryview(piece) for piece in (data, *more) if piece)
            if not output.blocked:
                output.advance()
            return
        # What the fan-out's pass does: one send on bytes that all share; only a rest is anybody's own.
        try:
            sent = output.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            output.finish(OutputEnd.BROKEN)
            return
        output.bytes_sent += sent
        if sent < size or self.transport.has_unsent:
            if sent < size:
                self._unsent.append(memoryview(data)[sent:])
            output.set_blocked(True)
        elif not self._is_pumping and (self._closes or self._reader.held):
            self._pump(trio.current_time())

    # FLV.

    def _wait_for(self, serve: Serve, request: Request, place: Place) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._approve, serve, request, place)

    async def _approve(self, serve: Serve, request: Request, place: Place) -> None:
        """Runs until the request is answered; a `RequestRefused` becomes the answer."""
        try:
            await serve(request, place)
        except RequestRefused as refusal:
            self._leave()
            self.rejections.count(refusal.guard)
            self._log.info(
                "request refused", connection=name_of(self.transport), path=request.path, reason=str(refusal)
            )
            self.answer(text_answer(STATUS.get(refusal.guard, 403), str(refusal)))

    async def _admitted(self, place: Place, query: Query) -> Endpoint:
        """Who serves it; see `admit`."""
        wanted = _as_play(place, query)
        endpoint = await admit(
            self.directory, Role.WATCH, self.port, wanted, self.peer_host, bans=self.bounds.on_air.bans
        )
        owner = endpoint.owner
        self._log = log.bind(workflow=owner.workflow, step_id=owner.step_id, stream=place.key)
        return endpoint

    def _refuse_banned(self, place: Place, query: Query) -> None:
        """Once more: who was approved may have waited for that."""
        refuse_banned(self.bounds.on_air.bans, Role.WATCH, _as_play(place, query), self.peer_host)

    async def _look(self, request: Request, place: Place) -> None:
        """Who may watch may see what there is to watch."""
        query, self.agent = parse_query(request.query), request.headers.get("user-agent", "")
        endpoint = self._endpoint = await self._admitted(place, query)
        endpoint.attach(self)
        handler = cast(HlsHandler, endpoint.handler)
        release = await handler.let_in(place.key, self, query)
        try:
            self._refuse_banned(place, query)
            answer = await self.bounds.site.thumbnail(handler.stream_id(place.key), request)
        finally:
            release()
            self._leave()
        self.answer(answer)

    async def _watch(self, request: Request, place: Place) -> None:
        query, self.agent = parse_query(request.query), request.headers.get("user-agent", "")
        endpoint = self._endpoint = await self._admitted(place, query)
        endpoint.attach(self)
        viewing = await cast(WatchHandler, endpoint.handler).watch(place.key, self, query)
        try:
            self._refuse_banned(place, query)
        except RequestRefused:
            viewing.end()
            raise
        if not request.wants_body:
            viewing.end()
            self._leave()
        self._stream(request, place, viewing)

    def _stream(self, request: Request, place: Place, viewing: Viewing) -> None:
        """Answer with what is on the channel, without an end; head and header go out before the first frame."""
        headers = (("Content-Type", "video/x-flv"), ("Cache-Control", answers.NO_STORE))
        common = self._common(request)
        if not request.is_1_0:
            common = (*common, ("Transfer-Encoding", "chunked"))
        head = answers.head(200, headers, common, None, keeps_alive=False)
        if not request.wants_body:
            self._closes, self._request = True, None
            self._hand_over(head)
            self._pump(trio.current_time())
            return
        begin = header_for(viewing.channel)
        subscriber = Subscriber(self._output)
        self._request, self._watching = None, _Watching(viewing, subscriber)
        self._output.write(head + (begin if request.is_1_0 else b"%x\r\n%b\r\n" % (len(begin), begin)))
        viewing.channel.add(subscriber, without_chunks if request.is_1_0 else None)
        peer = self._peer("http-flv", request)
        assert self._endpoint is not None
        asked = Asked("watcher", place.app, place.key, viewing.token)
        source = ClientSource(
            stream_id=lambda: subscriber.stream_id, now=partial(_as_seen, subscriber), send_away=self.dismiss
        )
        self._watching.entry = self.bounds.on_air.join(peer, asked, self._endpoint.owner, source)
        waits = {} if viewing.channel.is_live else {"waits": "nobody publishes this key yet"}
        self._log.info("watcher joined", app=place.app, **waits)

    def _peer(self, protocol: str, request: Request) -> Peer:
        return Peer(protocol, self.peer_host, self.transport.peer_port, request.headers.get("user-agent", ""))

    # HLS.

    async def _begin_hls(self, request: Request, place: Place) -> None:
        """The first playlist of a viewer: who may watch is asked now, and never again."""
        query = parse_query(request.query)
        endpoint = await self._admitted(place, query)
        handler = cast(HlsHandler, endpoint.handler)
        if not handler.viewers.has_room(self.peer_host):
            raise RequestRefused(NO_ROOM, "there are too many viewers", RejectReason.MEDIA_SESSIONS)
        viewer = handler.viewers.begin(place.key, self.peer_host, request.query, self.mark, trio.current_time())
        viewer.agent = request.headers.get("user-agent", "")
        endpoint.attach(viewer)
        viewer.when_over(partial(endpoint.detach, viewer))
        try:
            viewer.when_over(await handler.let_in(place.key, viewer, query))
            self._refuse_banned(place, query)
            variants = await handler.variants(place.key, viewer)
            if not variants:
                self.answer(text_answer(404, "nothing is on the air", ("Retry-After", "2")))
            elif viewer.end_reason is not None:  # it was sent away while it waited
                self.answer(text_answer(503, viewer.end_reason, ("Retry-After", "1")))
            elif request.wants_body:
                handler.begin(viewer)
                self._show(viewer, endpoint, request, place)
        finally:
            if viewer.entry is None:
                handler.viewers.end(viewer, "it was not let in")
        self.answer(multivariant(variants, viewer.query))

    def _show(self, viewer: HlsViewer, endpoint: Endpoint, request: Request, place: Place) -> None:
        handler = cast(HlsHandler, endpoint.handler)
        source = ClientSource(
            stream_id=lambda: handler.stream_id(place.key),
            now=lambda: ClientNow("watching" if handler.stream_id(place.key) else "waiting", viewer.bytes_sent),
            send_away=viewer.dismiss,
        )
        asked = Asked("watcher", place.app, place.key, handler.token)
        entry = viewer.entry = self.bounds.on_air.join(self._peer("hls", request), asked, endpoint.owner, source)
        told = self._log
        told.info("watcher joined", app=place.app)

        def leave() -> None:
            self.bounds.on_air.leave(entry, viewer.end_reason or "it left")
            told.info("watcher left", reason=viewer.end_reason)

        viewer.when_over(leave)

    def _hls(self, request: Request, place: Place, file: HlsFile) -> None:
        """What follows the first playlist; synchronous, as viewers ask for ten of these a second."""
        claim = self._claim
        if claim is None or not claim.committed or self._claimed != (place.app, place.key):
            claim = self.directory.find(Role.WATCH, self.port, place.app, place.key)
            if claim is None or not claim.committed:
                self.answer(_nothing_here())
                return
            self._claim, self._claimed = claim, (place.app, place.key)
            self._handler = cast(HlsHandler, claim.endpoint.handler)
            self._viewers = self._handler.viewers
        handler, viewers = self._handler, self._viewers
        assert handler is not None
        assert viewers is not None
        viewer = viewers.find(request.query, place.key, self._since)
        if viewer is None:
            self.rejections.count(RejectReason.MEDIA_SESSION)
            self.answer(text_answer(403, "the session is over, or unknown: begin with index.m3u8"))
            return
        channel = handler.channel(place.key, file.label)
        if channel is None:
            self.answer(_nothing_here())
        elif file.kind is FileKind.INIT:
            self.answer(channel.init(file.number))
        elif file.kind is FileKind.PLAYLIST:
            number, part, skips = directives(request.query)
            channel.ask(HlsRequest(self, viewer, number, part, skips, True, file.label, self._since))
        else:
            channel.ask(HlsRequest(self, viewer, file.number, file.part, False, False, "", self._since))

    # Ends.

    def _let_go(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            if watching.entry is not None:
                self.bounds.on_air.leave(watching.entry, self._why)
            watching.viewing.channel.discard(watching.subscriber)
            watching.viewing.end()
            self._log.info("watcher left")

    def _leave(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.detach(self)

    def _end(self, reason: str, guard: RejectReason | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            if guard is not None:
                self.rejections.count(guard)
            self._why = reason
            if self._watching is not None or guard is not None:
                self._log.info("connection closes", connection=name_of(self.transport), reason=reason)
            self._life.cancel()

    async def _send(self) -> None:
        end = await self._output.run()
        self._end(end.value, ENDS.get(end))

    # Time.

    async def _receive(self) -> bytes:
        """The next bytes; `b""` when no more come, or the client has taken too long with whatever it does."""
        while True:
            with trio.CancelScope(deadline=self._deadline()):
                await self.crowd.stay(self)
                if self._failures:
                    raise self._failures.pop()
                return await self.transport.receive_some(READ_SIZE)
            if (offence := self._overdue()) is not None:
                self._end(*offence)
                return b""

    def _deadline(self) -> float:
        """When to look at the clock again; requests do not move it, which would cost more than they do."""
        return trio.current_time() + (WAIT_SECONDS if self._watching is not None else HEAD_SECONDS)

    def _overdue(self) -> tuple[str, RejectReason] | None:
        now, watching = trio.current_time(), self._watching
        waited = now - self._since
        if watching is not None:
            if watching.waited(now) < WAIT_SECONDS:
                return None
            return f"no stream began within {WAIT_SECONDS:.0f} seconds", RejectReason.MEDIA_IDLE
        if self._is_busy:
            is_sent = not self._output.blocked or waited < ANSWER_SECONDS
            return None if is_sent else (OutputEnd.STALLED.value, RejectReason.STALLED)
        if self._reader.held and waited >= HEAD_SECONDS:
            return f"a request was not finished within {HEAD_SECONDS:.0f} seconds", RejectReason.MEDIA_IDLE
        if waited >= IDLE_SECONDS:
            return f"it asked for nothing for {IDLE_SECONDS:.0f} seconds", RejectReason.MEDIA_IDLE
        return None


@define(eq=False)
class _Watching:
    """A place in front of a channel, and the output that it sends to."""

    viewing: Viewing
    subscriber: Subscriber
    entry: ClientEntry | None = None
    said: int = 0
    """Bytes of a client that has nothing to say any more."""
    _sent: int = 0
    """When this was looked at last."""
    _quiet_since: float = field(factory=trio.current_time)

    def waited(self, now: float) -> float:
        """For how long there has been no stream, as far as one sees who looks now and then."""
        before, self._sent = self._sent, self.subscriber.bytes_sent
        if self.viewing.channel.is_live or before != self._sent:
            self._quiet_since = now
        return now - self._quiet_since


def _as_play(place: Place, query: Query) -> PlayRequest:
    """What is wanted, as registrations and bans look at it."""
    return PlayRequest(ConnectRequest(place.app, query), 1, place.key, query)


def _as_seen(subscriber: Subscriber) -> ClientNow:
    behind_ms, behind = subscriber.lag
    state = STATES.get(subscriber.delivery, "waiting") if subscriber.stream_id else "waiting"
    return ClientNow(state, subscriber.bytes_sent, behind_ms, behind, subscriber.skips)


def _nothing_here() -> Answer:
    return text_answer(404, "there is nothing at this address")
