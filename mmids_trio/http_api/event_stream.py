"""One client's stream of events: as bytes, as the body of a response, and how long each piece of it may take.

The body ends by itself when the server stops, when the token that it was asked for with holds no more, or after
`MAX_STREAM_SECONDS`; a piece that the client does not take is cut by `StreamCutter`, an ASGI layer, as the one who
sends (Quart) cannot be told to stop.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType

import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from quart.wrappers.response import ResponseBody

from mmids_trio.http_api.event_feed import EventFeed, HistoryStart
from mmids_trio.http_api.event_shapes import Missed, Reset, StreamEvent, event_json
from mmids_trio.workflow.event_filter import EventFilter
from mmids_trio.workflow.event_queue import QueuedEvent

RETRY_MILLISECONDS = 2000
"""When a client that has lost the stream should ask again; a server restarts in less."""


def render_event(event_type: str, data: str, event_id: str | None = None) -> bytes:
    """One event. Line ends of `data` separate its lines, whatever they are; type and id must have none."""
    head = "" if event_id is None else f"id: {_single_line(event_id)}\n"
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(
        [head, f"event: {_single_line(event_type)}\n", *(f"data: {line}\n" for line in lines), "\n"]
    ).encode()


def render_start(event_id: str) -> bytes:
    """How a stream begins: when to come again after a loss, and the id to come again with before any event."""
    return f"retry: {RETRY_MILLISECONDS}\nid: {_single_line(event_id)}\n\n".encode()


def render_heartbeat(event_id: str) -> bytes:
    """A comment, so that both ends see that the other is there, with the id of the newest event."""
    return f": heartbeat\nid: {_single_line(event_id)}\n\n".encode()


def _single_line(value: str) -> str:
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"expected one line without NUL, found {value!r}")
    return value


EVENTS_PATH = "/events"

HEARTBEAT_SECONDS = 15.0
"""Silence, then a comment: proxies commonly close what is silent for 60 s, some for 30 s."""

MAX_STREAM_SECONDS = 3600.0
"""How long a stream lasts; then the client asks again and goes on. So one that reads nothing of a quiet stream, which
no buffer betrays, is gone one day too."""

LOOK_SECONDS = 1.0
"""How long a token counts as good before it is looked at again."""

EVENTS_AT_ONCE = 100
"""Events rendered in one go, so that a long history does not hold up the loop."""


@define(eq=False)
class EventStream(ResponseBody):
    """The events behind `start` that `wanted` says, as long as `may_hear` holds."""

    _feed: EventFeed
    _start: HistoryStart
    _wanted: EventFilter
    _may_hear: Callable[[], Awaitable[bool]]
    _position: int = field(init=False)
    _began: bool = field(default=False, init=False)
    _is_admitted: bool = field(default=False, init=False)
    _deadline: float = field(factory=lambda: trio.current_time() + MAX_STREAM_SECONDS, init=False)
    _look_again_at: float = field(factory=lambda: trio.current_time() + LOOK_SECONDS, init=False)
    _skew: float = field(factory=lambda: datetime.now(UTC).timestamp() - trio.current_time(), init=False)
    """What the wall clock is ahead of the history's."""

    def __attrs_post_init__(self) -> None:
        self._position = self._start.number

    async def __aenter__(self) -> "EventStream":
        if not self._feed.is_full:
            self._is_admitted = True
            self._feed.streams += 1
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._feed.streams -= 1

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> bytes:
        """The next piece: events, or a heartbeat."""
        while self._is_admitted and not self._feed.is_over and await self._still_may():
            if not self._began:
                return self._begin()
            piece = self._next_events()
            if piece:
                return piece
            if trio.current_time() >= self._deadline:
                break
            if self._is_behind():
                await trio.lowlevel.checkpoint()
            elif not await self._feed.news(min(HEARTBEAT_SECONDS, self._deadline - trio.current_time())):
                return render_heartbeat(self._feed.history.id_of(self._position))
        raise StopAsyncIteration

    async def _still_may(self) -> bool:
        now = trio.current_time()
        if now < self._look_again_at:
            return True
        self._look_again_at = now + LOOK_SECONDS
        return await self._may_hear()

    def _begin(self) -> bytes:
        self._began = True
        event_id = self._feed.history.id_of(self._position)
        if self._start.reset is None:
            return render_start(event_id)
        return render_start(event_id) + self._render_word(Reset(self._start.reset), event_id)

    def _is_behind(self) -> bool:
        return self._position < self._feed.history.newest

    def _next_events(self) -> bytes:
        history = self._feed.history
        gone, entries = history.after(self._position, EVENTS_AT_ONCE, trio.current_time())
        pieces = []
        if gone:
            self._position = entries[0].number - 1 if entries else history.newest
            pieces.append(self._render_word(Missed(gone), history.id_of(self._position)))
        pieces += self._render(entries)
        if entries:
            self._position = entries[-1].number
        return b"".join(pieces)

    def _render(self, entries: Sequence[QueuedEvent]) -> list[bytes]:
        return [
            _render_one(entry.event, self._feed.history.id_of(entry.number), self._time(entry.at), entry.count)
            for entry in entries
            if self._wanted.takes(entry.event)
        ]

    def _render_word(self, word: Reset | Missed, event_id: str) -> bytes:
        """What the stream says of itself, now."""
        return _render_one(word, event_id, self._time(trio.current_time()))

    def _time(self, at: float) -> str:
        """A time of trio's clock as RFC 3339 has it, in UTC."""
        return datetime.fromtimestamp(at + self._skew, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _render_one(event: StreamEvent, event_id: str, time: str, count: int = 1) -> bytes:
    return render_event(event.wire_name, event_json(event, event_id=event_id, time=time, count=count), event_id)


class StreamCut(Exception):
    """The client does not take what is sent to it, or the server stops."""


@define
class StreamCutter:
    """Wraps an ASGI application: what it sends on the path of the events has to be taken in time."""

    _app: ASGIFramework
    _feed: EventFeed

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != EVENTS_PATH:
            await self._app(scope, receive, send)
            return

        async def send_in_time(message: ASGISendEvent) -> None:
            with self._feed.sending() as sending:
                await send(message)
            if sending.cancelled_caught:
                raise StreamCut

        try:
            await self._app(scope, receive, send_in_time)
        except* StreamCut:
            pass  # the connection ends with the answer that was not finished
