"""The sending side of a connection that never waits: what the socket does not take at once, a task sends later.

What is bounded here holds for every connection: replies that nobody reads, and a socket that takes nothing.  A
publisher's connection has an output and nothing more; a subscriber plugs its part of a stream into one.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.net.transport import Transport

MAX_SEND = 256 * 1024
"""Bytes per call of send: the copy into the kernel takes some 50 µs, and more hardly saves calls."""

MAX_SENDS_PER_TURN = 8
"""Sends for one connection before the others get their turn: 2 MiB of a stream, about what a kernel buffers at most."""

MAX_QUEUED_REPLIES = 256 * 1024
"""Bytes of replies (acknowledgements, pings, status) that may wait for one connection: what a client costs
that does not read but goes on asking."""

STALL_SECONDS = 30.0
"""How long a socket may take nothing while there is something to send; as servers wait for a ping's answer."""

GOODBYE_SECONDS = 1.0
"""What the last bytes to a client may take, and how long a refused one may read them before the close."""

UNREAD_BYTES = 64 * 1024
"""Read at once of what nobody is interested in any more."""


class OutputEnd(Enum):
    """Why a connection has to be closed."""

    BROKEN = "the connection broke"
    STALLED = "it took no data for too long"
    TOO_SLOW = "it could not keep up with the stream"
    FLOODED = "it did not read the replies to what it asked"


class MediaFeed(Protocol):
    """What goes out between whole messages of the connection itself; see `Subscriber`."""

    @property
    def is_due(self) -> bool:
        """Whether there is media to send."""

    def send_next(self) -> bool:
        """Send once; whether the socket took all of it."""

    def reached_head(self) -> None:
        """Everything that was due has been sent."""

    def output_changed(self) -> None:
        """`blocked`, `end` or the queue may have changed."""


@define(eq=False)
class Output:
    """Sends whole messages in order. `run` must run as long as the output is in use."""

    transport: Transport
    send: Callable[[bytes | memoryview], int] = field(init=False)
    """The transport's own `send_nowait`, looked up once."""
    feed: MediaFeed | None = field(default=None, init=False)
    blocked: bool = field(default=False, init=False)
    """Whether the own task sends, since the socket did not take everything."""
    end: OutputEnd | None = field(default=None, init=False)
    """Set once the connection has to be closed; nothing is sent from then on."""
    bytes_sent: int = field(default=0, init=False)
    """All that the socket took."""
    queue: deque[bytes | memoryview] = field(factory=deque, init=False)
    """What has to go out before any media: replies, and the rest of a message that was begun."""
    _queued_replies: int = field(default=0, init=False)
    _wakeup: trio.Event | None = field(default=None, init=False)
    _wait_scope: trio.CancelScope | None = field(default=None, init=False)
    """Around the wait for a socket that is full."""

    def __attrs_post_init__(self) -> None:
        self.send = self.transport.send_nowait

    async def run(self) -> OutputEnd:
        """Send what the socket did not take at once; returns why the connection has to be closed."""
        while self.end is None:
            if self.blocked:
                await self._drain()
            else:
                self._wakeup = trio.Event()
                await self._wakeup.wait()
        await trio.lowlevel.checkpoint()
        return self.end

    async def flush(self) -> None:
        """Send what was written, once `run` runs no more; returns when it is out or cannot be sent."""
        while self.blocked and self.end is None:
            await self._drain()

    async def say_goodbye(self, *, lingers: bool) -> None:
        """Flush, for `GOODBYE_SECONDS` at most, also where the caller is cancelled.

        `lingers`: the client has what is left of that to read it. A close with bytes unread may overtake what was sent.
        """
        deadline = trio.current_time() + GOODBYE_SECONDS
        with trio.CancelScope(deadline=deadline, shield=True):
            await self.flush()
        if lingers:
            # Not shielded: the end of the port need not wait for who was refused.
            with trio.move_on_at(deadline), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while await self.transport.receive_some(UNREAD_BYTES):
                    pass

    def write(self, data: bytes) -> None:
        """Send whole messages of the connection itself, between two messages of the media. Never waits."""
        if self.end is not None:
            return
        self.queue.append(data)
        self._queued_replies += len(data)
        if not self.blocked:
            self.advance()
        if self._queued_replies > MAX_QUEUED_REPLIES:
            self.finish(OutputEnd.FLOODED)

    def advance(self) -> None:
        """Send what is due, as far as the socket takes it and the turn lasts; the own task does the rest."""
        try:
            blocked = self._send_turn()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.finish(OutputEnd.BROKEN)
            return
        if self.end is None:
            self.set_blocked(blocked)

    def set_blocked(self, blocked: bool) -> None:
        """Leave the sending to the own task, or take it back."""
        self.blocked = blocked
        if blocked:
            self._wake()
        if self.feed is not None:
            self.feed.output_changed()

    def finish(self, end: OutputEnd) -> None:
        """Send nothing more; `run` returns `end`."""
        if self.end is None:
            self.end = end
            self.blocked = False
            self.queue.clear()
            if self._wait_scope is not None:
                self._wait_scope.cancel()
            self._wake()
            if self.feed is not None:
                self.feed.output_changed()

    def send_some(self, data: bytes | memoryview, most: int = MAX_SEND) -> int:
        """The number of bytes taken, of `most` at most."""
        sent = self.send(data if len(data) <= most else memoryview(data)[:most])
        self.bytes_sent += sent
        return sent

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the socket here, the rest of a message that was begun included."""
        return sum(map(len, self.queue))

    @property
    def has_due(self) -> bool:
        """Whether `advance` has something to do."""
        return (
            self.end is None and not self.blocked and (bool(self.queue) or (self.feed is not None and self.feed.is_due))
        )

    # Within.

    async def _drain(self) -> None:
        """Send until nothing is due, or the socket takes nothing for too long."""
        deadline = trio.current_time() + STALL_SECONDS
        while self.blocked:
            with trio.move_on_at(deadline) as self._wait_scope:
                try:
                    await self.transport.wait_writable()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.finish(OutputEnd.BROKEN)
                    return
            sent_before = self.bytes_sent
            self.advance()
            if self.bytes_sent != sent_before:
                deadline = trio.current_time() + STALL_SECONDS
            elif self.blocked and trio.current_time() >= deadline:
                self.finish(OutputEnd.STALLED)

    def _send_turn(self) -> bool:
        """Whether more is due than could be sent."""
        feed = self.feed
        for _ in range(MAX_SENDS_PER_TURN):
            if self.queue:
                took_all = self._send_queued()
            elif feed is None:
                return self.transport.has_unsent
            elif feed.is_due:
                took_all = feed.send_next()
            else:
                feed.reached_head()
                return self.transport.has_unsent
            if not took_all:
                return True
        return bool(self.queue) or (feed is not None and feed.is_due)

    def _send_queued(self) -> bool:
        data = self.queue[0]
        sent = self.send_some(data)
        if sent == len(data):
            self.queue.popleft()
        elif sent:
            self.queue[0] = memoryview(data)[sent:]
        if not self.queue:
            self._queued_replies = 0
        return sent == min(len(data), MAX_SEND)

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.set()
            self._wakeup = None
