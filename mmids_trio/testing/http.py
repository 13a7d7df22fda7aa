"""An HTTP client of the server's API without a socket: requests go straight to the application, as ASGI events.

An ordinary client with an ASGI transport would hold an answer back until it has ended, and so could not read one that
goes on (an event stream); this one hands on each piece as the application sends it, and waits to be read.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypedDict, Unpack, cast
from urllib.parse import unquote, urlencode

import trio
from attrs import define, field, frozen
from hypercorn.typing import ASGIFramework, ASGIReceiveEvent, ASGISendEvent, Scope

HANG_UP_SECONDS = 5.0
"""What a handler may take to end after its client has hung up, before it is cancelled."""

Params = Mapping[str, str | Sequence[str]]


class RequestOptions(TypedDict, total=False):
    """What may come with a request; `params` are its query, and are encoded."""

    content: bytes | str
    headers: Mapping[str, str]
    params: Params


class HttpFailed(AssertionError):
    """The application ended without a whole answer: it crashed, or was cancelled."""


@frozen
class HttpAnswer:
    """A whole answer. The names of `headers` are in lower case; one that came repeatedly has its values joined."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content, which has to be UTF-8."""
        return self.content.decode()

    def json(self) -> Any:
        """The content, which has to be JSON."""
        return json.loads(self.content)


@define(eq=False)
class HttpStream:
    """An answer that comes in pieces; iterate over it. The handler waits while nobody takes the next piece."""

    status: int
    headers: Mapping[str, str]
    _pieces: trio.MemoryReceiveChannel[bytes]
    _exchange: "_Exchange"
    _rest: bytes = field(default=b"", init=False)

    def __aiter__(self) -> "HttpStream":
        return self

    async def __anext__(self) -> bytes:
        """The next piece, however long it takes. Raises `HttpFailed` where the answer breaks off."""
        try:
            return await self._pieces.receive()
        except trio.EndOfChannel:
            self._exchange.check()
            raise StopAsyncIteration from None

    async def read_line(self) -> str | None:
        """The next line without its end, `None` where there is none any more. Not to be mixed with iteration."""
        while b"\n" not in self._rest:
            try:
                self._rest += await anext(self)
            except StopAsyncIteration:
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().removesuffix("\r")


@define(eq=False)
class HttpClient:
    """Requests to `app`; their handlers run in `nursery`. Both are asked for when they are needed.

    `headers` are sent with every request that does not have its own of that name (in lower case).
    """

    app: Callable[[], ASGIFramework]
    nursery: Callable[[], trio.Nursery]
    headers: MutableMapping[str, str] = field(factory=lambda: {"host": "localhost"})

    async def get(self, path: str, **options: Unpack[RequestOptions]) -> HttpAnswer:
        """See `request`."""
        return await self.request("GET", path, **options)

    async def put(self, path: str, **options: Unpack[RequestOptions]) -> HttpAnswer:
        """See `request`."""
        return await self.request("PUT", path, **options)

    async def post(self, path: str, **options: Unpack[RequestOptions]) -> HttpAnswer:
        """See `request`."""
        return await self.request("POST", path, **options)

    async def delete(self, path: str, **options: Unpack[RequestOptions]) -> HttpAnswer:
        """See `request`."""
        return await self.request("DELETE", path, **options)

    async def request(self, method: str, path: str, **options: Unpack[RequestOptions]) -> HttpAnswer:
        """The whole answer to a request; cancelling it hangs up. `path` is percent-encoded. Raises `HttpFailed`."""
        async with self.stream(method, path, **options) as answer:
            pieces = [piece async for piece in answer]
        return HttpAnswer(answer.status, answer.headers, b"".join(pieces))

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Unpack[RequestOptions]) -> AsyncIterator[HttpStream]:
        """The answer to a request as soon as it begins; leaving the block hangs up. Raises `HttpFailed`."""
        content = options.get("content", b"")
        exchange = _Exchange(content.encode() if isinstance(content, str) else content)
        headers = {**self.headers, **{name.lower(): value for name, value in options.get("headers", {}).items()}}
        scope = _scope(method, path, headers, options.get("params", {}), len(exchange.body))
        self.nursery().start_soon(exchange.run, self.app(), scope, name=f"http handler of {method} {path}")
        try:
            await exchange.started.wait()
            exchange.check_began()
            yield HttpStream(exchange.status, exchange.headers, exchange.pieces, exchange)
        finally:
            exchange.hang_up()
            try:
                with trio.move_on_after(HANG_UP_SECONDS):
                    await exchange.ended.wait()
            finally:
                exchange.scope.cancel()


@define(eq=False)
class _Exchange:
    """One request and its answer, between the client's task and the handler's."""

    body: bytes
    started: trio.Event = field(factory=trio.Event)
    ended: trio.Event = field(factory=trio.Event)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    pieces: trio.MemoryReceiveChannel[bytes] = field(init=False)
    _outgoing: trio.MemorySendChannel[bytes] = field(init=False)
    _is_body_sent: bool = False
    _is_whole: bool = False
    _hung_up: trio.Event = field(factory=trio.Event)
    _error: Exception | None = None

    def __attrs_post_init__(self) -> None:
        self._outgoing, self.pieces = trio.open_memory_channel[bytes](0)

    async def run(self, app: ASGIFramework, scope: Scope) -> None:
        """The handler's task."""
        try:
            with self.scope:
                await app(scope, self._receive, self._send)
        except Exception as error:
            self._error = error
        finally:
            self._outgoing.close()
            self.started.set()
            self.ended.set()

    async def _receive(self) -> ASGIReceiveEvent:
        if not self._is_body_sent:
            self._is_body_sent = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: ASGISendEvent) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.headers = _joined(event["headers"])
            self.started.set()
        elif event["type"] == "http.response.body":
            if event["body"]:
                await self._put(event["body"])
            if not event.get("more_body", False):
                self._is_whole = True
                self._outgoing.close()
        await trio.lowlevel.checkpoint()

    async def _put(self, piece: bytes) -> None:
        try:
            await self._outgoing.send(bytes(piece))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()  # as on a socket, what is sent after the end goes nowhere

    def hang_up(self) -> None:
        """The client goes."""
        self._hung_up.set()
        self.pieces.close()

    def check_began(self) -> None:
        """Raise `HttpFailed` if there is no answer."""
        if not self.status:
            raise HttpFailed(f"the request was not answered: {self._error!r}") from self._error

    def check(self) -> None:
        """Raise `HttpFailed` if the answer has ended before its end."""
        if not self._is_whole:
            raise HttpFailed(f"the answer broke off: {self._error!r}") from self._error


def _scope(method: str, path: str, headers: Mapping[str, str], params: Params, length: int) -> Scope:
    path, _, query = path.partition("?")
    query = "&".join(part for part in (query, urlencode(params, doseq=True)) if part)
    if length:
        headers = {"content-length": str(length), **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
        "extensions": {},
    }
    return cast(Scope, scope)


def _joined(pairs: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
