"""An identity for every request, and one log line about it: an ASGI layer around the application.

Outside the application, because what it does must hold however the application ends: with an answer,
with an error, or cancelled because the client hung up.
"""

import re
from typing import Any
from uuid import uuid4

import structlog
import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from mmids_trio.http_api.http_counts import HttpCounts

REQUEST_ID_HEADER = "x-request-id"

MAX_LOGGED_PATH = 200
"""Characters of a path in a log line; workflow names are far shorter, and a client chooses the path."""

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_QUIET_METHODS = frozenset({"GET", "HEAD"})
_log = structlog.get_logger(__name__)


def new_request_id() -> str:
    """A fresh random request id."""
    return uuid4().hex


def request_id(given: str | None) -> str:
    """The caller's id if it is sane (1 to 128 of `A-Za-z0-9._-`), else a fresh one."""
    return given if given is not None and _SANE_REQUEST_ID.fullmatch(given) else new_request_id()


@define
class Tracing:
    """Wraps an ASGI application: binds `request_id` for its log lines, sends it back, and counts what comes of it."""

    _app: ASGIFramework
    _counts: HttpCounts

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request (or pass on what is none)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, request_id(_header(scope["headers"], REQUEST_ID_HEADER.encode())))
        began = trio.current_time()
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._app(_with_rooted_path(scope), receive, answer.send)
            finally:
                self._counts.ended(scope["method"], answer.status)
                _log_access(scope, answer.status, trio.current_time() - began)


@define
class _Answer:
    """Puts the request id on the answer and remembers its status (`None`: there was none)."""

    _send: ASGISendCallable
    request_id: str
    status: int | None = field(default=None, init=False)

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            name = REQUEST_ID_HEADER.encode()
            message = {**message, "headers": [*message["headers"], (name, self.request_id.encode())]}
        await self._send(message)


def _header(headers: Any, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def _with_rooted_path(scope: Any) -> Any:
    """Keep the path of the absolute form (RFC 9112 §3.2.2); other oddities (`*`) become unknown paths."""
    path = scope["path"]
    if path.startswith("/"):
        return scope
    rest = path.partition("://")[2].partition("/")[2] if path.startswith("http://") else path
    return {**scope, "path": "/" + rest}


def _log_access(scope: Any, status: int | None, seconds: float) -> None:
    log = _log.debug if scope["method"] in _QUIET_METHODS else _log.info
    client = scope.get("client")
    log(
        "http request",
        method=scope["method"],
        path=scope["path"][:MAX_LOGGED_PATH],
        status="client hung up" if status is None else status,
        milliseconds=round(seconds * 1000, 1),
        client=client[0] if client else None,
    )
