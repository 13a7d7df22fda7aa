"""The sending side of a connection that never waits: what the socket does not take at once, a task sends later.

Apart from the watcher, which adds a position in a log, because what is bounded here holds for every
connection: replies that nobody reads, and a socket that takes nothing.
"""

from collections import deque
from collections.abc import Callable

import trio
from attrs import define, field

from mmids_trio.fanout.watching import (
    MAX_QUEUED_REPLIES,
    MAX_SEND,
    MAX_SENDS_PER_TURN,
    WATCHER_STALL_SECONDS,
    WatcherCounters,
    WatcherEnd,
)
from mmids_trio.net.transport import Transport


@define(eq=False)
class Output:
    """Sends whole messages in order. `run` must run as long as the output is in use."""

    transport: Transport
    send: Callable[[bytes | memoryview], int] = field(init=False)
    """The transport's own `send_nowait`, looked up once."""
    blocked: bool = field(default=False, init=False)
    """Whether the own task sends, since the socket did not take everything."""
    end: WatcherEnd | None = field(default=None, init=False)
    """Set once the connection has to be closed; nothing is sent from then on."""
    counters: WatcherCounters = field(factory=WatcherCounters, init=False)
    _queue: deque[bytes | memoryview] = field(factory=deque, init=False)
    _queued_replies: int = field(default=0, init=False)
    _wakeup: trio.Event | None = field(default=None, init=False)
    _wait_scope: trio.CancelScope | None = field(default=None, init=False)
    """Around the wait for a socket that is full."""

    def __attrs_post_init__(self) -> None:
        self.send = self.transport.send_nowait

    async def run(self) -> WatcherEnd:
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

    def write(self, data: bytes) -> None:
        """Send whole messages of the connection itself, between two messages of the media. Never waits."""
        if self.end is not None:
            return
        self._queue.append(data)
        self._queued_replies += len(data)
        if not self.blocked:
            self.advance()
        if self._queued_replies > MAX_QUEUED_REPLIES:
            self.finish(WatcherEnd.FLOODED)

    def advance(self) -> None:
        """Send what is due, as far as the socket takes it and the turn lasts; the own task does the rest."""
        try:
            blocked = self._send_turn()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.finish(WatcherEnd.BROKEN)
            return
        if self.end is None:
            self.set_blocked(blocked)

    def set_blocked(self, blocked: bool) -> None:
        """Leave the sending to the own task, or take it back."""
        self.blocked = blocked
        if blocked:
            self._wake()
        self._changed()

    def finish(self, end: WatcherEnd) -> None:
        """Send nothing more; `run` returns `end`."""
        if self.end is None:
            self.end = end
            self.blocked = False
            self._queue.clear()
            if self._wait_scope is not None:
                self._wait_scope.cancel()
            self._wake()
            self._changed()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the socket here, the rest of a message that was begun included."""
        return sum(map(len, self._queue))

    @property
    def has_due(self) -> bool:
        """Whether `advance` has something to do."""
        return self.end is None and not self.blocked and (bool(self._queue) or self._media_due())

    # What the watcher adds.

    def _changed(self) -> None:
        """`blocked`, `end` or the queue may have changed."""

    def _media_due(self) -> bool:
        return False

    def _send_media(self) -> bool:
        """Send once; whether the socket took all of it."""
        raise NotImplementedError

    def _reached_head(self) -> None:
        """Everything that was due has been sent."""

    # Within.

    async def _drain(self) -> None:
        """Send until nothing is due, or the socket takes nothing for too long."""
        deadline = trio.current_time() + WATCHER_STALL_SECONDS
        while self.blocked:
            with trio.move_on_at(deadline) as self._wait_scope:
                try:
                    await self.transport.wait_writable()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.finish(WatcherEnd.BROKEN)
                    return
            sent_before = self.counters.bytes_sent
            self.advance()
            if self.counters.bytes_sent != sent_before:
                deadline = trio.current_time() + WATCHER_STALL_SECONDS
            elif self.blocked and trio.current_time() >= deadline:
                self.finish(WatcherEnd.STALLED)

    def _send_turn(self) -> bool:
        """Whether more is due than could be sent."""
        for _ in range(MAX_SENDS_PER_TURN):
            if self._queue:
                took_all = self._send_queued()
            elif self._media_due():
                took_all = self._send_media()
            else:
                self._reached_head()
                return self.transport.has_unsent
            if not took_all:
                return True
        return bool(self._queue) or self._media_due()

    def _send_queued(self) -> bool:
        data = self._queue[0]
        sent = self._send_some(data)
        if sent == len(data):
            self._queue.popleft()
        elif sent:
            self._queue[0] = memoryview(data)[sent:]
        if not self._queue:
            self._queued_replies = 0
        return sent == min(len(data), MAX_SEND)

    def _send_some(self, data: bytes | memoryview) -> int:
        """The number of bytes taken, `MAX_SEND` at most."""
        sent = self.send(data if len(data) <= MAX_SEND else memoryview(data)[:MAX_SEND])
        self.counters.bytes_sent += sent
        return sent

    def _wake(self) -> None:
        if self._wakeup is not None:
            self._wakeup.set()
            self._wakeup = None
