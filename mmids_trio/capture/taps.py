"""Who listens in at the ways into a server: around connections, the API, and executors of reactors.

Neither sockets, sessions, the application nor executors know of it. Of connections only reading passes through here;
sending, which is the hot path of watchers, goes to the other transport directly. Executors are noted by their answers,
whatever their kind.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from attrs import define, evolve, field, frozen
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from mmids_trio.capture import records
from mmids_trio.capture.masking import CAPTURED_HEADERS
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import ReactorDefinition
from mmids_trio.errors import MmidsError, Problem
from mmids_trio.net.tls import ConnectionGate
from mmids_trio.net.transport import Transport
from mmids_trio.offload import Work
from mmids_trio.reactors.executor import Answer, Executor, ExecutorChoice, ExecutorRegistry
from mmids_trio.stream_request import StreamRequest

MAX_BODY = 2 * 1024 * 1024
"""Bytes that are captured of a body; the API refuses those of more than 1 MiB."""


# Connections.


class CapturedTransport:
    """A `Transport` whose reads are noted."""

    __slots__ = (
        "_connection",
        "_has_ended",
        "_receive",
        "_transport",
        "_writer",
        "peer_host",
        "peer_port",
        "send_all",
        "send_nowait",
        "wait_writable",
    )

    def __init__(self, transport: Transport, writer: CaptureWriter, connection: int) -> None:
        self.peer_host, self.peer_port = transport.peer_host, transport.peer_port
        self.send_all, self.send_nowait = transport.send_all, transport.send_nowait
        self.wait_writable = transport.wait_writable
        self._receive = transport.receive_some
        self._transport = transport
        self._writer = writer
        self._connection = connection
        self._has_ended = False

    @property
    def takes_ahead(self) -> bool:
        """See `Transport`."""
        return self._transport.takes_ahead

    @property
    def has_unsent(self) -> bool:
        """See `Transport`."""
        return self._transport.has_unsent

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        try:
            data = await self._receive(max_bytes)
        except trio.BrokenResourceError:
            self._note_end(records.RESET)
            raise
        if data:
            self._writer.received(self._connection, data)
        else:
            self._note_end(records.ENDED)
        return data

    def receive_nowait(self, max_bytes: int) -> bytes:
        """See `Transport`."""
        try:
            data = self._transport.receive_nowait(max_bytes)
        except trio.BrokenResourceError:
            self._note_end(records.RESET)
            raise
        if data:
            self._writer.received(self._connection, data)
        return data

    def has_arrived(self, size: int) -> bool:
        """See `Transport`."""
        return self._transport.has_arrived(size)

    def close(self) -> None:
        """See `Transport`."""
        self._note_end(records.BY_SERVER)
        self._transport.close()

    def _note_end(self, how: str) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._writer.note(records.Closed(self._writer.now(), self._connection, how))


@frozen
class CapturedGate:
    """A `ConnectionGate` that notes whom another one has let in, so what is noted was decrypted before."""

    gate: ConnectionGate
    writer: CaptureWriter

    async def require_tls(self) -> None:
        """See `ConnectionGate`."""
        await self.gate.require_tls()

    async def admit(self, transport: Transport, port: int, tls: bool) -> Transport:
        """See `ConnectionGate`."""
        admitted = await self.gate.admit(transport, port, tls)
        writer = self.writer
        if writer.is_over:
            return admitted
        connection = writer.number()
        writer.note(records.Opened(writer.now(), connection, port, admitted.peer_host, admitted.peer_port))
        return CapturedTransport(admitted, writer, connection)


# The API.


@define
class CapturedApi:
    """Wraps an ASGI application."""

    app: ASGIFramework
    writer: CaptureWriter

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request, and note it (or pass on what is none)."""
        if scope["type"] != "http" or self.writer.is_over:
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.writer)
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
    _writer: CaptureWriter
    _number: int = field(init=False)
    _body: bytearray = field(factory=bytearray, init=False)
    _is_asked: bool = field(default=False, init=False)
    _is_answered: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the answer is whole, or the client gone."""

    def __attrs_post_init__(self) -> None:
        self._number = self._writer.number()

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
            self._writer.note(records.HungUp(self._writer.now(), self._number))
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
            self._writer.note(records.Responded(self._writer.now(), self._number, status))

    def _note_request(self) -> None:
        if self._is_asked:
            return
        self._is_asked = True
        query = self._scope["query_string"].decode("latin-1")
        path = self._scope["raw_path"].decode("latin-1").partition("?")[0]
        request = records.Requested(
            self._writer.now(),
            self._number,
            self._scope["method"],
            f"{path}?{query}" if query else path,
            "\n".join(_lines(self._scope["headers"])),
            bytes(self._body),
        )
        self._writer.note(request)


def _lines(headers: Any) -> list[str]:
    named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return [f"{name}: {value}" for name, value in named if name in CAPTURED_HEADERS]


# Executors of reactors.


class CapturedExecutors(ExecutorRegistry):
    """The executors of another registry, which are noted."""

    def __init__(self, executors: ExecutorRegistry, writer: CaptureWriter) -> None:
        super().__init__(())
        self._executors, self._writer = executors, writer

    def problems(self, definition: ReactorDefinition) -> list[Problem]:
        """See `ExecutorRegistry`."""
        return self._executors.problems(definition)

    def works(self, definition: ReactorDefinition) -> Iterable[Work]:
        """See `ExecutorRegistry`."""
        return self._executors.works(definition)

    def choose(self, definition: ReactorDefinition) -> ExecutorChoice:
        """See `ExecutorRegistry`."""
        choice = self._executors.choose(definition)

        @asynccontextmanager
        async def open_captured() -> AsyncIterator[Executor]:
            async with choice.open() as executor:
                yield _CapturedExecutor(executor, definition.name, self._writer)

        return evolve(choice, open=open_captured)


@frozen
class _CapturedExecutor:
    _executor: Executor
    _reactor: str
    _writer: CaptureWriter

    async def release(self, request: StreamRequest) -> None:
        """See `Executor`. Nothing comes back that a replay would need."""
        await self._executor.release(request)

    async def ask(self, request: StreamRequest) -> Answer:
        """See `Executor`. The query is no part of the tape."""
        question = self._writer.number()
        self._writer.note(records.Asked(self._writer.now(), question, self._reactor, request.key))
        outcome, text = records.CANCELLED, ""
        try:
            answer = await self._executor.ask(request)
            outcome = records.VALID if answer.valid else records.INVALID
            text = _written(answer)
        except MmidsError as error:
            outcome, text = records.FAILED, str(error)
            raise
        except Exception as error:
            outcome, text = records.FAILED, f"the request crashed: {type(error).__name__}"
            raise
        finally:
            self._note_answer(question, outcome, text)
        return answer

    def _note_answer(self, question: int, outcome: str, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        self._writer.note(records.Told(self._writer.now(), question, outcome, data))


def _written(answer: Answer) -> str:
    """The workflows of an answer; of those that an executor of one's own made in code, what can be written."""
    written = ""
    for workflow in answer.workflows:
        with suppress(ValueError):
            written += write_workflow(workflow)
    return written
