"""The outermost layer of the API: it lets requests in, gives each an identity, counts it, and writes one log line.

An ASGI layer around the application, because what it does must hold whatever the application does with a scope, and
however it ends: with an answer, with an error, or cancelled because the client hung up.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from uuid import uuid4

import structlog
import trio
from attrs import define, field
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
)
from werkzeug.datastructures import Headers

from mmids_trio.http_api.access import CALLER, LOOK_AGAIN, Access
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.http_api.operation import JSON
from mmids_trio.http_api.routing import max_body_bytes
from mmids_trio.http_api.safety import Refusal, refusal
from mmids_trio.http_api.schemas import Error, to_json
from mmids_trio.http_api.session_cookie import PATH as PAGE_PATH
from mmids_trio.http_api.session_cookie import says_where_it_comes_from
from mmids_trio.http_api.tokens import ANYBODY, Caller
from mmids_trio.rejections import RejectCounters, RejectReason

REQUEST_ID_HEADER = "x-request-id"

NOTE_TOKEN = "note_token"
"""In the `state` of a scope: what to call when a request bears the token, for a server that tells strangers apart."""

REFUSALS: Mapping[int, RejectReason] = {
    HTTPStatus.REQUEST_TIMEOUT: RejectReason.API_BODY_SLOW,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: RejectReason.API_BODY_SIZE,
}
"""What statuses are counted as, whoever has answered."""

TURNED_AWAY: Mapping[int, RejectReason] = {
    HTTPStatus.UNAUTHORIZED: RejectReason.API_TOKEN,
    HTTPStatus.FORBIDDEN: RejectReason.API_FOREIGN,
}
"""What those of the entrance itself are counted as."""

API_OF_PAGE = f"{PAGE_PATH}/api"
"""What the whole API is below, for the dashboard."""

POLICY_VIOLATION = 1008
"""RFC 6455 §7.4.1."""

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_CLIENTS_FAULT = 4
"""The first digit of a status that says so (RFC 9110 §15.5)."""

_READING = frozenset({"GET", "HEAD"})
_log = structlog.get_logger(__name__)


def new_request_id() -> str:
    """A fresh random request id."""
    return uuid4().hex


def request_id(given: str | None) -> str:
    """The caller's id if it is sane (1 to 128 of `A-Za-z0-9._-`), else a fresh one."""
    return given if given is not None and _SANE_REQUEST_ID.fullmatch(given) else new_request_id()


@define
class Entrance:
    """Wraps an ASGI application. What is neither a request nor a lifespan never reaches it, nor does who may not ask.

    `access` says who asks, `is_public` (a method, a path) what needs no token. `own_hosts`: names of proxies in front.
    `has_page`: whether there is a dashboard, below which the API is there again, for its cookie.
    """

    _app: ASGIFramework
    _access: Access
    _is_public: Callable[[str, str], bool]
    _own_hosts: frozenset[str]
    _counts: HttpCounts
    _rejections: RejectCounters
    _has_page: bool = False

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request. Raises `NotImplementedError` for a scope that nobody has heard of, as ASGI asks for."""
        if scope["type"] == "http":
            await self._serve(_with_plain_path(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            self._rejections.count(RejectReason.API_PROTOCOL)
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": None})
        else:
            raise NotImplementedError(f"the API serves no scope of the type {scope['type']!r}")

    async def _serve(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
        answer = _Answer(send, request_id(headers.get(REQUEST_ID_HEADER)), self._rejections)
        began = trio.current_time()
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id), ExitStack() as who:
            try:
                is_of_page = self._has_page and _is_of_page(scope["path"])
                look = partial(self._access.caller, headers, takes_cookie=is_of_page)
                caller = await look()
                if caller is not None and caller.name != ANYBODY:
                    who.enter_context(structlog.contextvars.bound_contextvars(by=caller.name))
                if (refused := self._refusal(scope, headers, caller, is_of_page=is_of_page)) is not None:
                    self._rejections.count(TURNED_AWAY[refused.status])
                    await _refuse(refused, scope["method"], answer.send)
                else:
                    asked = _without_page(scope) if is_of_page else scope
                    body = _Body(receive, max_body_bytes(asked["path"]) + 1)
                    await self._app(_with_caller(asked, caller, look), body.receive, answer.send)
            finally:
                self._counts.ended(scope["method"], answer.status)
                _log_access(scope, answer.status, trio.current_time() - began)

    def _refusal(
        self, scope: HTTPScope, headers: Headers, caller: Caller | None, *, is_of_page: bool
    ) -> Refusal | None:
        method, path = scope["method"], scope["path"]
        if is_of_page and path == PAGE_PATH and method in _READING:
            return None  # links lead there from other sites, and there is nothing in it
        if is_of_page and method not in _READING and not says_where_it_comes_from(headers):
            return Refusal(403, "refused: what the dashboard changes has an Origin or Sec-Fetch-Site, as browsers send")
        is_public = self._is_public(method, path)
        is_locked = self._access.is_locked
        refused = refusal(
            headers, is_locked=is_locked, is_known=is_public or caller is not None, own_hosts=self._own_hosts
        )
        note_token = scope.get("state", {}).get(NOTE_TOKEN)
        if refused is None and note_token is not None and is_locked and caller is not None:
            note_token()
        return refused


@define
class _Body:
    """Ends a body that is too large one byte behind the bound, so that the framework refuses it.

    Quart 0.23 queues whatever comes, and looks at its length when all has come: a body that goes on for ever was kept
    for ever, and never answered.
    """

    _receive: ASGIReceiveCallable
    _room: int
    """One byte more than the framework takes for this path: a body that was cut must never look whole."""

    async def receive(self) -> ASGIReceiveEvent:
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            if self._room:
                body = message["body"][: self._room]
                self._room -= len(body)
                return {**message, "body": body, "more_body": message["more_body"] and self._room > 0}


@define
class _Answer:
    """Puts the request id on the answer, counts refusals, and remembers the status (`None`: there was no answer)."""

    _send: ASGISendCallable
    request_id: str
    _rejections: RejectCounters
    status: int | None = field(default=None, init=False)

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if (guard := REFUSALS.get(self.status)) is not None:
                self._rejections.count(guard)
            name = REQUEST_ID_HEADER.encode()
            message = {**message, "headers": [*message["headers"], (name, self.request_id.encode())]}
        await self._send(message)


async def _refuse(refused: Refusal, method: str, send: ASGISendCallable) -> None:
    body = (json.dumps(to_json(Error(refused.message))) + "\n").encode()
    headers = [
        (b"content-type", JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if refused.status == HTTPStatus.UNAUTHORIZED:  # RFC 9110 §11.6.1 asks for the challenge
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body, "more_body": False})


def _with_plain_path(scope: HTTPScope) -> HTTPScope:
    """Without the `/` at its end, of which scripts for Mmids have many; one that is encoded is part of a name.

    Of the absolute form (RFC 9112 §3.2.2) the path is kept; other oddities (`*`) become unknown paths.
    """
    path = scope["path"]
    if not path.startswith("/"):
        path = "/" + (path.partition("://")[2].partition("/")[2] if path.startswith("http://") else path)
    if scope.get("raw_path", b"").endswith(b"/"):
        path = path.removesuffix("/") or "/"
    return {**scope, "path": path}


def _is_of_page(path: str) -> bool:
    return path == PAGE_PATH or path.startswith(f"{PAGE_PATH}/")


def _without_page(scope: HTTPScope) -> HTTPScope:
    """`/ui/api/streams` is `/streams`."""
    path = scope["path"]
    return {**scope, "path": path.removeprefix(API_OF_PAGE)} if path.startswith(f"{API_OF_PAGE}/") else scope


def _with_caller(
    scope: HTTPScope, caller: Caller | None, look_again: Callable[[], Awaitable[Caller | None]]
) -> HTTPScope:
    state = {**scope.get("state", {}), CALLER: caller, LOOK_AGAIN: look_again}
    return {**scope, "state": state}  # type: ignore[typeddict-item]


def _log_access(scope: HTTPScope, status: int | None, seconds: float) -> None:
    """Who is refused chooses how often that happens, so it is worth no more than a count.

    A conflict is none: the request was understood, and what it asked for was tried.
    """
    was_refused = status is not None and status // 100 == _CLIENTS_FAULT and status != HTTPStatus.CONFLICT
    log = _log.debug if scope["method"] in _READING or was_refused else _log.info
    client = scope.get("client")
    log(
        "http request",
        method=scope["method"],
        path=scope["path"],
        status="client hung up" if status is None else status,
        milliseconds=round(seconds * 1000, 1),
        client=client[0] if client else None,
    )
