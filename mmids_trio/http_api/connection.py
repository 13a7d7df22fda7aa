"""One client of the API: its socket, Hypercorn's HTTP/1.1 between bytes and requests, and every bound.

Takes the place of Hypercorn 0.18's own `hypercorn.trio.tcp_server.TCPServer`, which sends under a shield
without a deadline (a client that stops reading holds up a graceful stop and even a cancellation), keeps the
socket of a client that has gone until the keep-alive time is over, and lets a client that it answered early
wait for ever in a full queue.  Here nothing is shielded, every send has a deadline, and one task, the
reader, decides how long a connection lives: when it ends, everything of the connection is cancelled.

HTTP/1.1 is all there is: HTTP/2 with prior knowledge is a 505, `Upgrade: h2c` is ignored, a WebSocket is a 400.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from itertools import chain
from math import inf
from typing import Any

import h11
import structlog
import trio
from attrs import define, field
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import (
    AppWrapper,
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    LifespanState,
    Scope,
    WorkerContext,
)
from hypercorn.utils import parse_socket_addr

from mmids_trio.http_api.counts import SEND_TIMEOUT_SECONDS
from mmids_trio.http_api.entrance import NOTE_TOKEN, REQUEST_ID_HEADER, new_request_id
from mmids_trio.net.certificates import Certificates
from mmids_trio.rejections import RejectCounters, RejectReason

SEND_PIECE_BYTES = 64 * 1024
"""A response is sent in pieces of this size, so that a slow client is not taken for a stuck one."""

BODY_STALL_SECONDS = 10.0
"""How long the next piece of a body may take; `BODY_TIMEOUT_SECONDS` bounds all of them together."""

KEEP_ALIVE_SECONDS = 30.0
"""How long a connection may be without a complete request head: idle, or sending one too slowly."""

LINGER_SECONDS = 1.0
"""How long a closing connection waits for more: closing with unread data would reset it, and the client might
lose the answer (a 413 that comes while it sends its body). About ten round trips across the world."""

MAX_LINGER_SECONDS = 30.0
"""How long it reads in all, where more comes and comes: 16 MiB at 5 Mbit/s."""

MAX_RECEIVE_BYTES = 64 * 1024
"""Read at once; also the most that a request head can exceed Hypercorn's limit by."""

CHUNKS_AT_ONCE = 100
"""Pieces of a chunked body that go to the application as one, between two turns of others: 2 ms for as many bytes."""

MAX_CHUNKS = 100_000
"""Pieces of one chunked body: one for each line of a large configuration, and two seconds of parsing."""

HTTP_VERSIONS = (b"1.0", b"1.1")
"""What h11 reads and answers; the preface of HTTP/2 looks like a request of version 2.0."""

_log = structlog.get_logger(__name__)


@define(eq=False)
class Connection:
    """One accepted connection: `run` serves it, `finish` asks it to end after the current request."""

    _app: AppWrapper
    _config: Config
    _context: WorkerContext
    _socket_stream: trio.SocketStream
    _rejections: RejectCounters
    has_shown_token: bool = field(default=False, init=False)
    """Whether a request of this connection bore the API's token."""
    _idle_seconds: float = KEEP_ALIVE_SECONDS
    """How long it may be idle until then, and how long its TLS handshake may take."""
    _certificates: Certificates | None = None
    """What TLS is spoken with; `None`: it is not."""
    _stream: trio.abc.Stream = field(init=False)
    """What requests come on: the socket, or the TLS above it."""
    _reading: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _send_lock: trio.Lock = field(factory=trio.Lock, init=False)
    _is_idle: bool = field(default=True, init=False)
    _is_closing: bool = field(default=False, init=False)
    _lingers_until: float = field(default=inf, init=False)

    def __attrs_post_init__(self) -> None:
        self._stream = self._socket_stream

    async def run(self) -> None:
        """Serve until either side ends it. Raises nothing of its own; the socket is closed on return."""
        try:
            async with trio.open_nursery() as nursery:
                if (addresses := self._addresses()) is not None and await self._shake_hands():
                    http = self._create_http(_RequestTasks(nursery), *addresses)
                    self._set_idle(True)
                    await self._read(http)
                nursery.cancel_scope.cancel()
        except* Exception as errors:  # what a client does wrong is answered or ends the reading; this is our fault
            _log.error("http connection failed", exc_info=errors)
        finally:
            self._socket_stream.socket.close()

    async def _shake_hands(self) -> bool:
        """Whether there is something to speak HTTP over: the deadline is that of who is idle."""
        if self._certificates is None:
            return True
        self._stream = trio.SSLStream(
            self._socket_stream, await self._certificates.context(), server_side=True, https_compatible=True
        )
        self._reading.deadline = trio.current_time() + self._idle_seconds
        with self._reading as shaking:
            try:
                await self._stream.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._rejections.count(RejectReason.API_TLS)
                return False
        self._reading = trio.CancelScope()
        if shaking.cancelled_caught:
            self._rejections.count(RejectReason.API_IDLE)
        return not shaking.cancel_called

    def end(self) -> None:
        """End now, whatever is being served."""
        self._reading.cancel()

    def _note_token(self) -> None:
        self.has_shown_token = True

    def finish(self) -> None:
        """End now if no request is being served, else after it. Set the context's `terminated` before."""
        if self._is_idle:
            self._reading.cancel()

    def _addresses(self) -> tuple[Any, Any] | None:
        """The client's and our own; `None` where the client has gone between accept and its first byte."""
        sock = self._socket_stream.socket
        try:
            return sock.getpeername(), sock.getsockname()
        except OSError:
            return None

    def _create_http(self, tasks: TaskGroup, client: Any, server: Any) -> "_Http1":
        family = self._socket_stream.socket.family
        http = _Http1(
            self._app,
            self._config,
            self._context,
            tasks,
            ConnectionState(LifespanState({NOTE_TOKEN: self._note_token})),
            self._certificates is not None,
            parse_socket_addr(family, client),
            parse_socket_addr(family, server),
            self._handle_protocol_event,
        )
        http.rejections = self._rejections
        return http

    async def _read(self, http: "_Http1") -> None:
        with self._reading:
            while data := await self._read_some():
                if self._is_closing:
                    self._linger()
                else:
                    await self._hand_over(http, data)
            return
        if trio.current_time() < self._reading.deadline or self._is_closing:
            return
        if self._is_idle:
            self._rejections.count(RejectReason.API_IDLE)
        elif http.awaits_body:
            self._rejections.count(RejectReason.API_BODY_SLOW)
            await http.give_up_body()

    async def _hand_over(self, http: "_Http1", data: bytes) -> None:
        """No clock runs against the client while the application takes its time; each piece of a body has one."""
        self._limit_reading(inf)
        await http.handle(RawData(data))
        if http.awaits_body:
            self._limit_reading(BODY_STALL_SECONDS)

    def _limit_reading(self, seconds: float) -> None:
        if not self._is_idle and not self._is_closing:
            self._reading.deadline = trio.current_time() + seconds

    async def _read_some(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(MAX_RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _handle_protocol_event(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            self._close_gently()
        elif isinstance(event, Updated):
            self._set_idle(event.idle)

    def _set_idle(self, is_idle: bool) -> None:
        self._is_idle = is_idle
        if self._is_closing:
            return
        allowed = KEEP_ALIVE_SECONDS if self.has_shown_token else self._idle_seconds
        self._reading.deadline = trio.current_time() + allowed if is_idle else inf
        if self._context.terminated.is_set():
            self.finish()

    async def _send(self, data: bytes) -> None:
        pieces = (data[start : start + SEND_PIECE_BYTES] for start in range(0, len(data), SEND_PIECE_BYTES))
        try:
            async with self._send_lock:
                for piece in pieces:
                    with trio.fail_after(SEND_TIMEOUT_SECONDS):
                        await self._stream.send_all(piece)
        except trio.TooSlowError:
            self._rejections.count(RejectReason.API_STALLED)
            self._reading.cancel()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._reading.cancel()

    def _close_gently(self) -> None:
        """End the answer and read on for a while. Synchronous, as Quart cancels whoever sends the last of it."""
        if not self._is_closing:
            self._is_closing = True
            self._lingers_until = trio.current_time() + MAX_LINGER_SECONDS
            self._linger()
            with suppress(OSError):
                self._socket_stream.socket.shutdown(trio.socket.SHUT_WR)

    def _linger(self) -> None:
        self._reading.deadline = min(trio.current_time() + LINGER_SECONDS, self._lingers_until)


class _RequestTasks(TaskGroup):
    """The tasks of one connection: Hypercorn's task group with a queue that ends with the application."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._requests = self._nursery = nursery

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Run the application for one request; returns how to give it events, a no-op once it has ended."""
        to_app, events = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)

        async def put(event: ASGIReceiveEvent) -> None:
            with suppress(trio.BrokenResourceError):
                await to_app.send(event)

        self._requests.start_soon(_run_application, app, scope, events, send)
        return put


async def _run_application(
    app: AppWrapper,
    scope: Scope,
    events: trio.MemoryReceiveChannel[ASGIReceiveEvent],
    send: Callable[[ASGISendEvent | None], Awaitable[None]],
) -> None:
    try:
        with events:
            await app(scope, events.receive, send, trio.to_thread.run_sync, trio.from_thread.run)
    except Exception:
        _log.exception("http application failed")
    await send(None)


class _Parser(h11.Connection):
    """h11's, which takes together what comes in tiny chunks: a turn of the loop for each byte is a lot for a byte."""

    _chunks = 0
    _next: h11.EndOfMessage | h11.RemoteProtocolError | None = None
    """What was found behind the chunks that were taken together. Other ends are found again."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11's. Raises `RemoteProtocolError` also for a body in too many pieces."""
        found, self._next = self._next, None
        if isinstance(found, h11.RemoteProtocolError):
            raise found
        event = found or super().next_event()
        return self._merge(event) if isinstance(event, h11.Data) else event

    def start_next_cycle(self) -> None:
        """Nothing of one request is left for the next one."""
        super().start_next_cycle()
        self._next, self._chunks = None, 0

    def _merge(self, first: h11.Data) -> h11.Data:
        pieces = [bytes(first.data)]
        while len(pieces) < CHUNKS_AT_ONCE:
            try:
                event = super().next_event()
            except h11.RemoteProtocolError as error:
                self._next = error
                break
            if not isinstance(event, h11.Data):
                self._next = event if isinstance(event, h11.EndOfMessage) else None
                break
            pieces.append(bytes(event.data))
        self._chunks += len(pieces)
        if self._chunks > MAX_CHUNKS:
            raise h11.RemoteProtocolError("too many chunks", error_status_hint=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return h11.Data(b"".join(pieces))


class _Http1(H11Protocol):
    """HTTP/1.1 and nothing else, with a request id also on answers to what was no request."""

    rejections: RejectCounters

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.connection = _Parser(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    @property
    def awaits_body(self) -> bool:
        """Whether the client still has to send some of a body."""
        return self.connection.their_state is h11.SEND_BODY

    async def give_up_body(self) -> None:
        """Say that the body does not come, where nothing else has been said yet."""
        if self.connection.our_state is h11.SEND_RESPONSE:
            await self._send_answer(HTTPStatus.REQUEST_TIMEOUT)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Where Hypercorn would go over to HTTP/2."""

    async def _send_error_response(self, status_code: int) -> None:
        too_large = status_code == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self.rejections.count(RejectReason.API_HEAD_SIZE if too_large else RejectReason.API_PROTOCOL)
        await self._send_answer(status_code)

    async def _send_answer(self, status_code: int) -> None:
        own = [
            (b"content-length", b"0"),
            (b"connection", b"close"),
            (REQUEST_ID_HEADER.encode(), new_request_id().encode()),
        ]
        headers = list(chain(own, self.config.response_headers("h11")))
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.EndOfMessage())

    async def _create_stream(self, request: h11.Request) -> None:
        """An `Upgrade` may be ignored (RFC 9110 §7.8), but who wants a WebSocket has no use for another answer."""
        if request.http_version not in HTTP_VERSIONS:
            await self._refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            return
        if any(name == b"upgrade" and b"websocket" in value.lower() for name, value in request.headers):
            await self._refuse(HTTPStatus.BAD_REQUEST)
            return
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        await super()._create_stream(
            h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
        )

    async def _refuse(self, status: HTTPStatus) -> None:
        """Answer without the application, and end the connection."""
        await self._send_error_response(status)
        await self.send(Closed())
