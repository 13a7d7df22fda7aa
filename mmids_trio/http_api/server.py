"""Serving the API: accepts connections, counts them, and ends them in good order.

Hypercorn's own `serve` is not used for the reasons given in `connection`; what is used of it is its
configuration and its HTTP/1.1.
"""

from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio
from attrs import define, field, frozen
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from mmids_trio.http_api.connection import KEEP_ALIVE_SECONDS, Connection
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.net.certificates import Certificates
from mmids_trio.rejections import RejectCounters, RejectReason

GRACE_SECONDS = 2.5
"""How long an orderly stop waits for requests in progress. With the closing it stays under three seconds."""

MAX_CONNECTIONS = 256
"""Connections at once, unless told otherwise. A handful drive an API."""

SHARE_OF_STRANGERS = 4
"""While a token is set, one part in so many of all connections is for who has not shown it."""

SHARE_KEPT = 16
"""One part in so many is kept for who is about to show it, however many strangers there are."""

PROVING_SECONDS = 2.0
"""How long a connection in one of the places that are kept may take to show the token; then it is idle for too long."""

MAX_HEAD_BYTES = 16 * 1024
"""Largest head of a request; browsers and proxies stay under 8 KiB."""

_log = structlog.get_logger(__name__)


@frozen
class ConnectionLimits:
    """How many connections there may be at once. `needs_token` says whether a token is set now."""

    most: int
    needs_token: Callable[[], bool] = lambda: False

    @property
    def strangers(self) -> int:
        """How many may go without the token while one is set."""
        return max(1, self.most // SHARE_OF_STRANGERS)

    @property
    def kept(self) -> int:
        """How many more are let in to show it. At the bound the oldest that has not has to go."""
        return max(1, self.most // SHARE_KEPT)


async def serve(
    app: ASGIFramework,
    listeners: Sequence[trio.SocketListener],
    *,
    shutdown: trio.Event,
    counts: HttpCounts | None = None,
    rejections: RejectCounters | None = None,
    limits: ConnectionLimits | None = None,
    certificates: Certificates | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `listeners` (owned from here on) until `shutdown` is set, then stop in good order.

    An orderly stop lets requests in progress finish for `GRACE_SECONDS` and returns when nothing is left;
    cancelling ends everything at once.  `rejections`: where refusals are counted. `limits`:
    `MAX_CONNECTIONS` unless given. `certificates`, which were asked for a certificate with success before: the API
    speaks TLS with what they have.
    """
    server = _Server(
        ASGIWrapper(app),
        counts or HttpCounts(),
        rejections or RejectCounters(),
        limits or ConnectionLimits(MAX_CONNECTIONS),
        certificates,
    )
    try:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                serving = partial(trio.serve_listeners, handler_nursery=connections)
                await accepting.start(serving, server.handle, list(listeners))
                task_status.started()
                await shutdown.wait()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS
            await server.finish()
    finally:
        for listener in listeners:
            listener.socket.close()


def _create_config() -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = None  # what is worth a line is logged in `connection` and by the application
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    return config


@define
class _Server:
    """The connections that are open."""

    _app: ASGIWrapper
    _counts: HttpCounts
    _rejections: RejectCounters
    _limits: ConnectionLimits
    _certificates: Certificates | None
    _config: Config = field(factory=_create_config, init=False)
    _context: WorkerContext = field(factory=lambda: WorkerContext(None), init=False)
    _connections: dict[Connection, None] = field(factory=dict, init=False)
    """The oldest one first."""
    _proving: dict[Connection, None] = field(factory=dict, init=False)
    """Those of them that are in places which are kept for who shows the token; some may have shown it meanwhile."""

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one accepted connection, or close it where there are too many."""
        connection = None if self._context.terminated.is_set() else self._admit(stream)
        if connection is None:
            stream.socket.close()
            self._rejections.count(RejectReason.API_TOO_MANY)
            _log.debug("http connection refused", open=len(self._connections), limit=self._limits.most)
            return
        self._counts.connections += 1
        try:
            await connection.run()
        finally:
            self._forget(connection)
            self._counts.connections -= 1

    def _admit(self, stream: trio.SocketStream) -> Connection | None:
        """Give a new connection a place, if there is one. Nobody knows yet whether it will show the token."""
        limits, is_full = self._limits, len(self._connections) >= self._limits.most
        if not limits.needs_token():
            return None if is_full else self._open(stream)
        strangers = sum(not connection.has_shown_token for connection in self._connections)
        if strangers < limits.strangers and len(self._connections) < limits.most - limits.kept:
            return self._open(stream)
        self._proving = {connection: None for connection in self._proving if not connection.has_shown_token}
        if is_full or len(self._proving) >= limits.kept:
            if not self._proving:
                return None
            self._turn_out(next(iter(self._proving)))
        connection = self._open(stream, PROVING_SECONDS)
        self._proving[connection] = None
        return connection

    def _open(self, stream: trio.SocketStream, idle_seconds: float | None = None) -> Connection:
        connection = Connection(
            self._app,
            self._config,
            self._context,
            stream,
            self._rejections,
            KEEP_ALIVE_SECONDS if idle_seconds is None else idle_seconds,
            self._certificates,
        )
        self._connections[connection] = None
        return connection

    def _turn_out(self, connection: Connection) -> None:
        self._rejections.count(RejectReason.API_TOO_MANY)
        self._forget(connection)
        connection.end()

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._proving.pop(connection, None)

    async def finish(self) -> None:
        """Have every connection end after its current request."""
        await self._context.terminated.set()
        for connection in self._connections:
            connection.finish()
