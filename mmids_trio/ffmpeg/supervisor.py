"""Keeps one child running: started, started again with backoff when it ends unasked, ended in order.

A task of the caller's runs it; it starts none that outlives it, and when it ends, also cancelled, there is no
child left (bounded: see `stopping`).  Children of one step end side by side when their tasks are in one nursery.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import inf

import structlog
import trio
from attrs import define, field

from mmids_trio.backoff import HEALTHY_AFTER_SECONDS, Backoff
from mmids_trio.errors import MmidsError
from mmids_trio.ffmpeg.capacity import Capacity, Claim, Encoding
from mmids_trio.ffmpeg.child import FINISH_SECONDS, Child, FeedHook, ReadHook, RestHook
from mmids_trio.ffmpeg.hold import Hold
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.ffmpeg.state import ChildPhase, ChildState
from mmids_trio.ffmpeg.stderr_log import StderrLog
from mmids_trio.ffmpeg.stopping import StopBy

SUCCESSION_SECONDS = 1.0
"""From the start of a child to that of one that goes on where it has got all that it can take: a stream that changes
with every picture must not cost a child for each."""

log = structlog.get_logger()


@define(eq=False, kw_only=True)
class Supervisor:
    """One child, over all its restarts. `run` it once."""

    arguments: Callable[[], Sequence[str]]
    """The program and its arguments, for the next child. What it raises of `MmidsError` is why that cannot start."""
    spawner: Spawner
    stderr: StderrLog
    random: Callable[[], float]
    """Numbers from 0 to 1, for the jitter."""
    feed: FeedHook | None = None
    """With it, the child's standard input is a pipe; else it is empty."""
    read: ReadHook | None = None
    """With it, the child's standard output is a pipe; else it goes nowhere."""
    reads: Sequence[ReadHook] = ()
    """With them, the child has so many pipes more to write to; arguments name them `output_pipe(0)` and so on."""
    rest: RestHook | None = None
    capacity: Capacity = field(factory=Capacity)
    """Where each child asks for its place."""
    encoding: Encoding | None = None
    """What is encoded, if anything is."""
    hold: Hold = field(factory=Hold)
    """What may keep children from being started."""
    traces: Callable[[], AbstractContextManager[None]] = nullcontext
    """Around all lives: what they leave on the disk is looked after from its end on."""
    on_wait: Callable[[], None] = lambda: None
    """Called when a child has to wait for its place: what is kept for it may get stale."""
    stop_by: StopBy = field()
    once: bool = False
    """Whether a child that ends by itself with status 0 has done all that there was to do."""
    name: str = "ffmpeg"
    """For messages."""
    state: ChildState = field(factory=ChildState)
    _finishing: trio.Event = field(factory=trio.Event, init=False)
    _finish_by: float = field(default=inf, init=False)
    _started_at: float = field(default=-inf, init=False)
    _backoff: Backoff = field(init=False)

    @stop_by.default
    def _usual_stop(self) -> StopBy:
        return StopBy.INTERRUPT if self.feed is None else StopBy.END_OF_INPUT

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(self.random)
        self.stderr.on_left_out = self.state.count_left_out

    def finish(self) -> None:
        """End the child in order, after what the feed still holds, and then `run`; for streams that have ended.

        At most `child.FINISH_SECONDS` for the feed (whose hook has to end by itself) and five seconds for the child.
        Called before `run`, it leaves one child to take what the feed holds. A child that waits for its place is not
        started any more.
        """
        self._finish_by = trio.current_time() + FINISH_SECONDS
        self._finishing.set()

    async def run(self) -> None:
        """Until `finish`, the end of the feed or (`once`) of the child, or cancellation, which lets it end in 5 s."""
        with self.traces():
            try:
                while True:
                    reason = await self._run_once()
                    if reason is None:
                        await self._wait_for_succession()
                        if trio.current_time() >= self._finish_by:
                            return
                        continue
                    if not self._finishing.is_set():
                        await self._back_off(reason)
                    if self._finishing.is_set():
                        return
            finally:
                self.state.phase = ChildPhase.STOPPED
                self.state.pid = None
                self.stderr.close()

    async def _run_once(self) -> str | None:
        """Start the child, when there is room for it, and return in what way it has ended; `None`: see `_live`."""
        if self.hold.reason is not None:
            await self._wait_while_held(self.hold.reason)
            if self._finishing.is_set():
                return "was not started"
        with self.capacity.place(self.encoding) as claim:
            if not claim.is_admitted:
                await self._wait_for_room(claim)
            return await self._live() if claim.is_admitted else "was not started"

    async def _wait_for_room(self, claim: Claim) -> None:
        """Until the claim is admitted, or nobody needs the child any more."""
        claim.tell = self._tell_why_it_waits
        await self._wait(ChildPhase.WAITING, claim.why(), claim.admitted.wait)

    async def _wait_while_held(self, why: str) -> None:
        """Until the hold is released, or nobody needs the child any more."""
        await self._wait(ChildPhase.PAUSED, why, self.hold.wait)

    async def _wait(self, phase: ChildPhase, why: str, end: Callable[[], Awaitable[object]]) -> None:
        before = self.state.message
        self.state.phase, self.state.pid, self.state.message = phase, None, why
        log.info("child waits", child=self.name, reason=why)
        self.on_wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_finishing, nursery.cancel_scope)
            await end()
            nursery.cancel_scope.cancel()
        self.state.message = before

    def _tell_why_it_waits(self, why: str) -> None:
        self.state.message = why

    async def _cancel_when_finishing(self, scope: trio.CancelScope) -> None:
        await self._finishing.wait()
        scope.cancel()

    async def _live(self) -> str | None:
        """Start the child and return in what way it has ended; `None`: as it should, and another one is to go on."""
        self.state.phase = ChildPhase.STARTING
        self.state.starts += 1
        self._started_at = trio.current_time()
        try:
            arguments = self.arguments()
            self.stderr.begin(arguments)
            process = await self.spawner.spawn(
                arguments, stdin=self.feed is not None, stdout=self.read is not None, outputs=len(self.reads)
            )
        except MmidsError as error:
            return f"cannot be started: {error}"
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        self.state.phase, self.state.pid = ChildPhase.RUNNING, process.pid
        child = Child(
            process=process,
            stderr=self.stderr,
            stop_by=self.stop_by,
            feed=self.feed,
            read=self.read,
            reads=self.reads,
            rest=self.rest,
            finishing=self._finishing,
            on_health=self._become_healthy,
            healthy_after=HEALTHY_AFTER_SECONDS,
        )
        outcome = await child.live()
        if self.once and child.is_done:
            self.state.is_finished = True
            self._finishing.set()
        if not child.is_succeeded:
            return outcome
        self.state.successions += 1
        log.info("child is succeeded by another one", child=self.name, outcome=outcome)
        return None

    async def _wait_for_succession(self) -> None:
        with trio.move_on_at(self._started_at + SUCCESSION_SECONDS):
            await self._finishing.wait()

    async def _back_off(self, reason: str) -> None:
        delay = self._backoff.next_delay()
        self.state.phase, self.state.pid = ChildPhase.BACKING_OFF, None
        lines = list(self.stderr.last_lines)
        self.state.message = "\n".join([f"{self.name} {reason}", *lines])
        log.warning("child ended", child=self.name, reason=reason, retry_in=round(delay, 1), last_lines=lines)
        with trio.move_on_after(delay):
            await self._finishing.wait()

    def _become_healthy(self) -> None:
        self._backoff.reset()
        self.state.message = None
