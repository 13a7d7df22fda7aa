"""The way from a workflow into a child: never waits, holds a bounded amount, drops whole groups of pictures.

Apart from the supervisor because of one rule: a child that cannot keep up costs its own viewers pictures, and
nobody else anything.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.errors import MmidsError, StepError
from mmids_trio.ffmpeg.process import ChildInput
from mmids_trio.ffmpeg.state import ChildState
from mmids_trio.media.events import MediaEvent
from mmids_trio.media_memory import MediaHolding, MediaMemory, MediaOwner

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


MAX_LIVES = 8
"""Children that may be due one after another. A stream that changes faster than they can be started loses groups of
pictures, as one that is too fast does."""


class NextChild(MmidsError):
    """The child has got all that it can take; another one is to go on at once."""


class FeedPolicy(Protocol):
    """Turns events into what a child reads, and knows where one may begin and go on. Synchronous throughout."""

    @property
    def is_outdated(self) -> bool:
        """Whether only another child can take what `render` was given last; until `begin`."""

    @property
    def codecs(self) -> frozenset[str]:
        """Of the stream, as far as they are known."""

    @property
    def base(self) -> int | None:
        """Where the child's clock begins, in the stream's milliseconds; `None` before its first frame."""

    def finish(self) -> bytes:
        """Nothing more comes; returns what is left to be read."""

    def begin(self) -> bytes:
        """What comes now is for another child, which knows nothing; returns what it has to read at once, if any."""

    def render(self, event: MediaEvent) -> bytes:
        """What to write for `event`; `b""` where that is nothing. Also called while there is no child."""

    def skip_to_key_frame(self) -> None:
        """What `render` returned last was not written, and nothing is to come before the next key frame."""


@define(eq=False)
class _Life:
    """What one child is to get. `codecs` and `base` are those of its first frames, as far as there are some."""

    pieces: deque[tuple[float, bytes]] = field(factory=deque)
    """When each piece came, and the piece."""
    codecs: frozenset[str] | None = None
    base: int | None = None
    has_begun: bool = False
    is_under_way: bool = False
    """Whether the child has been given anything, which then was the beginning."""


@define(eq=False)
class ChildFeed:
    """One child's queue, over all its restarts; hand `run` to the supervisor.

    Where the stream turns into something that only another child can take, what follows queues for that one behind
    what the present one is still to get.
    """

    policy: FeedPolicy
    state: ChildState
    max_seconds: float = MAX_QUEUED_SECONDS
    max_bytes: int = MAX_QUEUED_BYTES
    _lives: deque[_Life] = field(factory=lambda: deque([_Life()]), init=False)
    """The present child's first; never empty."""
    _queued_bytes: int = field(default=0, init=False)
    _written_bytes: int = field(default=0, init=False)
    """Of the queued ones: those that are being written."""
    _written_since: float | None = field(default=None, init=False)
    """When the oldest of those came."""
    _holding: MediaHolding | None = field(default=None, init=False)
    _is_attached: bool = field(default=False, init=False)
    _is_running: bool = field(default=False, init=False)
    """Whether there is a child that is written to."""
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

    def charge_to(self, memory: MediaMemory, owner: MediaOwner) -> None:
        """What waits is charged there, to the owner of the stream; who wants it is the child."""
        self._holding = MediaHolding(memory, owner, self._let_go)

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
                self._begin_life()
                data = self.policy.render(event)
            if data:
                self._take(now, data)

    def end(self) -> None:
        """Nothing more comes: `run` ends when the queue is written."""
        self._has_ended = True
        if (data := self.policy.finish()) and self._is_attached:
            self._take(trio.current_time(), data)
        self._wakeup.set()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait, those that are being written included."""
        return self._queued_bytes

    @property
    def codecs(self) -> frozenset[str]:
        """What the next child to be started is for; of the present one, once it runs."""
        codecs = self._lives[0].codecs
        return self.policy.codecs if codecs is None else codecs

    @property
    def base(self) -> int | None:
        """Where the present child's clock begins, in the stream's milliseconds; `None` before its first frame."""
        return self._lives[0].base

    async def run(self, stdin: ChildInput) -> None:
        """Write for one child, from its start to its end; a `FeedHook`.

        Raises `StepError` when the child hangs, and `NextChild` when only another one can take what comes.
        """
        if not self._is_attached:
            self._attach()
        life = self._lives[0]
        life.codecs = self.codecs  # which the child was started for
        self._is_running = True
        try:
            while True:
                while life.pieces:
                    await self._write(life, stdin)
                if len(self._lives) > 1:
                    raise NextChild("the stream has changed")
                if self._has_ended:
                    return
                if not self._is_attached:
                    raise StepError(self._fault)
                self._wakeup = trio.Event()
                await self._wakeup.wait()
        except NextChild:
            self._lives.popleft()
            raise
        except BaseException:
            self._detach()
            raise
        finally:
            self._is_running = False

    def _attach(self) -> None:
        self._detach()  # what may be left is of a beginning that no child has seen
        self._is_attached, self._is_dropping = True, False
        if beginning := self.policy.begin():
            self._append(trio.current_time(), beginning)

    def _detach(self) -> None:
        self._is_attached = False
        self._lives = deque([_Life()])
        self._written_bytes, self._written_since = 0, None
        self._count(-self._queued_bytes)

    def _count(self, grown: int) -> None:
        self._queued_bytes += grown
        if self._holding is not None:
            self._holding.resize(self._queued_bytes - self._written_bytes)

    def _let_go(self) -> None:
        """There is no room for what waits. A child that has its beginning goes on with the next key frame."""
        self.state.dropped_groups += 1
        if not self._is_running:
            self._attach()
        elif len(self._lives) == 1 and self._lives[0].is_under_way:
            self._lives[0].pieces.clear()
            self._is_dropping = True
            self.policy.skip_to_key_frame()
        else:  # what it has to read lacks its beginning now, or what leads to the next child
            self.interrupt("max_media_bytes left no room for what it had to read")
            for life in self._lives:
                life.pieces.clear()
        self._count(self._written_bytes - self._queued_bytes)

    def _begin_life(self) -> None:
        """What comes from now on is for another child."""
        if len(self._lives) == MAX_LIVES:
            self.state.dropped_groups += 1
            self._count(-sum(len(data) for _, data in self._lives.pop().pieces))
        self._lives.append(_Life())
        self._wakeup.set()
        if beginning := self.policy.begin():
            self._append(trio.current_time(), beginning)

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
        oldest = self._written_since
        if oldest is None:
            oldest = next((life.pieces[0][0] for life in self._lives if life.pieces), None)
        if oldest is None:
            return True  # also for a single frame above the cap
        return now - oldest <= part * self.max_seconds and self._queued_bytes + size <= part * self.max_bytes

    def _append(self, now: float, data: bytes) -> None:
        life = self._lives[-1]
        if not life.has_begun and self.policy.base is not None:
            if life.codecs is not None and life.codecs != self.policy.codecs:
                self._lives.append(life := _Life())  # the child that waits was started for others
            life.codecs, life.base, life.has_begun = self.policy.codecs, self.policy.base, True
        life.pieces.append((now, data))
        self._count(len(data))
        self._wakeup.set()

    async def _write(self, life: _Life, stdin: ChildInput) -> None:
        """Write the oldest pieces; they count as queued until the pipe has them all."""
        pieces, size = [], 0
        self._written_since, life.is_under_way = life.pieces[0][0], True
        while life.pieces and size < WRITE_BYTES:
            _, data = life.pieces.popleft()
            pieces.append(data)
            size += len(data)
        self._written_bytes = size
        self._count(0)
        await _send(stdin, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._written_bytes, self._written_since = 0, None
        self._count(-size)


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
