"""The way from a workflow into a child: never waits, holds a bounded amount, drops whole groups of pictures.

Apart from the supervisor because of one rule: a child that cannot keep up costs its own viewers pictures, and
nobody else anything.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.process import ChildInput
from mmids_trio.ffmpeg.state import ChildState
from mmids_trio.media.events import MediaEvent

MAX_QUEUED_SECONDS = 10.0
MAX_QUEUED_BYTES = 16 * 1024 * 1024
"""What waits for a child at most; the caps of the log behind every stream, for the same reason: a hiccup of the
network is bridged, a group of pictures that never ends is not kept."""

RESUME_BELOW = 0.5
"""Part of the caps that the queue has to fall to before it takes pictures again, else it flaps at the brim."""

WRITE_BYTES = 64 * 1024
"""Joined for one write: what a pipe takes at once."""

STALL_SECONDS = 30.0
"""A child that takes no byte for this long, though there are some, hangs and is replaced; as long as a publisher may
be silent by default."""


class FeedPolicy(Protocol):
    """Turns events into what a child reads, and knows where one may begin and go on. Synchronous throughout."""

    @property
    def is_outdated(self) -> bool:
        """Whether only another child can take what has come; until `begin`."""

    def begin(self) -> bytes:
        """What comes now is for another child, which knows nothing; returns what it has to read at once, if any."""

    def render(self, event: MediaEvent) -> bytes:
        """What to write for `event`; `b""` where that is nothing. Also called while there is no child."""

    def skip_to_key_frame(self) -> None:
        """What `render` returned last was not written, and nothing is to come before the next key frame."""


@define(eq=False)
class ChildFeed:
    """One child's queue, over all its restarts; hand `run` to the supervisor."""

    policy: FeedPolicy
    state: ChildState
    max_seconds: float = MAX_QUEUED_SECONDS
    max_bytes: int = MAX_QUEUED_BYTES
    _queue: deque[tuple[float, bytes]] = field(factory=deque, init=False)
    """When each piece came, and the piece."""
    _queued_bytes: int = field(default=0, init=False)
    _is_attached: bool = field(default=False, init=False)
    _is_dropping: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)
    _wakeup: trio.Event = field(factory=trio.Event, init=False)
    _fault: str = field(default="", init=False)
    """Why only another child can take what comes."""

    def prepare(self) -> None:
        """Collect for a child that is about to be started: it then begins with the first frame that comes from here on.

        Without it, what comes while a child starts is left out, up to the next key frame.
        """
        self._attach()

    def forget(self) -> None:
        """Keep nothing any more until a child runs: it is not known when that will be."""
        self._detach()

    def interrupt(self, fault: str) -> None:
        """Let only another child take what comes from here on; this one ends when it has what is queued."""
        if self._is_attached:
            self._is_attached, self._fault = False, fault
            self._wakeup.set()

    def offer(self, events: Sequence[MediaEvent]) -> None:
        """Put `events` in the queue, or leave them out. Never waits."""
        now = trio.current_time()
        for event in events:
            data = self.policy.render(event)
            if not self._is_attached:
                continue
            if self.policy.is_outdated:
                self.interrupt("the stream has changed its tracks or codecs")
            elif data:
                self._take(now, data)

    def end(self) -> None:
        """Nothing more comes: `run` ends when the queue is written."""
        self._has_ended = True
        self._wakeup.set()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait, those that are being written included."""
        return self._queued_bytes

    async def run(self, stdin: ChildInput) -> None:
        """Write for one child, from its start to its end; a `FeedHook`.

        Raises `StepError` when the child hangs, and when only another one can take what comes.
        """
        if not self._is_attached:
            self._attach()
        try:
            while True:
                while self._queue:
                    await self._write(stdin)
                if self._has_ended:
                    return
                if not self._is_attached:
                    raise StepError(self._fault)
                self._wakeup = trio.Event()
                await self._wakeup.wait()
        finally:
            self._detach()

    def _attach(self) -> None:
        self._detach()  # what may be left is of a beginning that no child has seen
        self._is_attached, self._is_dropping = True, False
        if beginning := self.policy.begin():
            self._append(trio.current_time(), beginning)

    def _detach(self) -> None:
        self._is_attached = False
        self._queue.clear()
        self._queued_bytes = 0

    def _take(self, now: float, data: bytes) -> None:
        part = RESUME_BELOW if self._is_dropping else 1.0
        if self._has_room(now, len(data), part):
            self._is_dropping = False
            self._append(now, data)
        else:
            self._is_dropping = True
            self.state.dropped_groups += 1
            self.policy.skip_to_key_frame()

    def _has_room(self, now: float, size: int, part: float) -> bool:
        if not self._queue:
            return True  # also for a single frame above the cap
        age = now - self._queue[0][0]
        return age <= part * self.max_seconds and self._queued_bytes + size <= part * self.max_bytes

    def _append(self, now: float, data: bytes) -> None:
        self._queue.append((now, data))
        self._queued_bytes += len(data)
        self._wakeup.set()

    async def _write(self, stdin: ChildInput) -> None:
        """Write the oldest pieces; they count as queued until the pipe has them all."""
        pieces, size = [], 0
        for _, data in self._queue:
            pieces.append(data)
            size += len(data)
            if size >= WRITE_BYTES:
                break
        await _send(stdin, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        for _ in pieces:
            self._queue.popleft()
        self._queued_bytes -= size


async def _send(stdin: ChildInput, data: bytes) -> None:
    await trio.lowlevel.checkpoint()
    rest = memoryview(data)
    while rest:
        sent = stdin.send_nowait(rest)
        rest = rest[sent:]
        if not sent:
            with trio.move_on_after(STALL_SECONDS) as patience:
                await stdin.wait_writable()
            if patience.cancelled_caught:
                raise StepError(f"it takes no input for {STALL_SECONDS:.0f} s")
