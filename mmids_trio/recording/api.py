"""An ASGI layer around the API that tells a recorder what was asked, and with which status it was answered.

Outside the application, which knows nothing of it.
"""

from typing import Any

from attrs import define, field
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from mmids_trio.recording import records
from mmids_trio.recording.masking import RECORDED_HEADERS
from mmids_trio.recording.recorder import Recorder

MAX_BODY = 2 * 1024 * 1024
"""Bytes that are recorded of a body; the API refuses those of more than 1 MiB."""


@define
class RecordedApi:
    """Wraps an ASGI application."""

    app: ASGIFramework
    recorder: Recorder

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request, and note it (or pass on what is none)."""
        if scope["type"] != "http" or self.recorder.is_over:
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.recorder)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            exchange.note_response(None)


@define
class _Exchange:
    """One request and its answer."""

    _scope: Any
    _receive: ASGIReceiveCallable
    _send: ASGISendCallable
    _recorder: Recorder
    _number: int = field(init=False)
    _body: bytearray = field(factory=bytearray, init=False)
    _is_asked: bool = field(default=False, init=False)
    _is_answered: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the answer is whole, or the client gone."""

    def __attrs_post_init__(self) -> None:
        self._number = self._recorder.number()

    async def receive(self) -> ASGIReceiveEvent:
        """See ASGI."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._body += message["body"][: MAX_BODY - len(self._body)]
            if not message["more_body"]:
                self._note_request()
        elif message["type"] == "http.disconnect" and not self._is_over:
            self._is_over = True
            self._note_request()
            self._recorder.note(records.HungUp(self._recorder.now(), self._number))
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.note_response(message["status"])
        elif message["type"] == "http.response.body":
            self._is_over |= not message["more_body"]
        await self._send(message)

    def note_response(self, status: int | None) -> None:
        """Note the first answer; the request before, if the application did not want to read it."""
        if not self._is_answered:
            self._is_answered = True
            self._note_request()
            self._recorder.note(records.Responded(self._recorder.now(), self._number, status))

    def _note_request(self) -> None:
        if self._is_asked:
            return
        self._is_asked = True
        query = self._scope["query_string"].decode("latin-1")
        path = self._scope["raw_path"].decode("latin-1").partition("?")[0]
        request = records.Requested(
            self._recorder.now(),
            self._number,
            self._scope["method"],
            f"{path}?{query}" if query else path,
            "\n".join(_lines(self._scope["headers"])),
            bytes(self._body),
        )
        self._recorder.note(request)


def _lines(headers: Any) -> list[str]:
    named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return [f"{name}: {value}" for name, value in named if name in RECORDED_HEADERS]
