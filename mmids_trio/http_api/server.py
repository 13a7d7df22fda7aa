"""Serving the API: accepts connections, counts them, and ends them in good order.

Hypercorn's own `serve` is not used for the reasons given in `connection`; what is used of Hypercorn is
its configuration and its HTTP/1.1.
"""

from collections.abc import Sequence
from functools import partial

import structlog
import trio
from attrs import define, field
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from mmids_trio.guards import Guard, GuardCounters
from mmids_trio.http_api.connection import Connection
from mmids_trio.http_api.entrance import HttpCounts

GRACE_SECONDS = 2.5
"""How long an orderly stop waits for requests in progress. With the closing it stays under three seconds."""

MAX_CONNECTIONS = 1000
"""Connections at once. A handful drive an API; by default Linux gives a process 1,024 open files."""

MAX_HEAD_BYTES = 16 * 1024
"""Largest head of a request; browsers and proxies stay under 8 KiB."""

_log = structlog.get_logger(__name__)


async def serve(
    app: ASGIFramework,
    listeners: Sequence[trio.SocketListener],
    *,
    shutdown: trio.Event,
    counts: HttpCounts | None = None,
    guards: GuardCounters | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `app` on `listeners` (owned from here on) until `shutdown` is set, then stop in good order.

    An orderly stop lets requests in progress finish for `GRACE_SECONDS` and returns when nothing is left;
    cancelling ends everything at once.  `guards`: where refusals are counted.
    """
    server = _Server(ASGIWrapper(app), counts or HttpCounts(), guards or GuardCounters())
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
    _guards: GuardCounters
    _config: Config = field(factory=_create_config, init=False)
    _context: WorkerContext = field(factory=lambda: WorkerContext(None), init=False)
    _connections: set[Connection] = field(factory=set, init=False)

    async def handle(self, stream: trio.SocketStream) -> None:
        """Serve one accepted connection, or close it where there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS or self._context.terminated.is_set():
            stream.socket.close()
            self._guards.count(Guard.API_TOO_MANY)
            _log.debug("http connection refused", open=len(self._connections), limit=MAX_CONNECTIONS)
            return
        connection = Connection(self._app, self._config, self._context, stream, self._guards)
        self._connections.add(connection)
        self._counts.connections += 1
        try:
            await connection.run()
        finally:
            self._connections.remove(connection)
            self._counts.connections -= 1

    async def finish(self) -> None:
        """Have every connection end after its current request."""
        await self._context.terminated.set()
        for connection in self._connections:
            connection.finish()
