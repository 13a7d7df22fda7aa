"""One life of a child: fed, read and logged until it ends or has to.

Apart from the supervisor, which only decides whether and when there is a next life.  Whatever ends this one, also
cancellation at any point, the child has been awaited and its pipes are closed when `live` ends.
"""

from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio
from attrs import define, field

from mmids_trio.errors import MmidsError, leaves
from mmids_trio.ffmpeg.feeding import NextChild
from mmids_trio.ffmpeg.process import ChildInput, ChildOutput, Process, describe_exit
from mmids_trio.ffmpeg.stderr_log import StderrLog
from mmids_trio.ffmpeg.stopping import STOP_SECONDS, TERMINATE_AFTER_SECONDS, Stop, StopBy

FINISH_SECONDS = 5.0
"""For what a feed still holds when its stream has ended; enough for the queue unless the child is stuck."""

LAST_OUTPUT_SECONDS = 1.0
"""For what is left in the pipes after the end; only a grandchild that holds them open makes it last."""

STDERR_READ = 4096
"""Bytes; a child that floods its log holds up the loop for 0.2 ms at a time, 1.5 where a line is but a letter."""

FLOOD_PAUSE_SECONDS = 0.01
"""Between two reads of a child that writes more than is kept: it drains at 400 KiB a second, for a hundredth of a core.
Who writes yet more waits for its own log."""

STDOUT_READ = 64 * 1024
"""Bytes; a whole pipe."""

FeedHook = Callable[[ChildInput], Awaitable[None]]
"""Writes to a child's input as long as the child lives.

It ends when nothing more is to come (the child is then left to finish, and not started again). With `NextChild` this
one is left to finish, and another one goes on. What else it raises of `MmidsError` ends this child;
`trio.BrokenResourceError` may pass through."""

ReadHook = Callable[[ChildOutput], Awaitable[None]]
"""Reads a child's output to its end. What it raises of `MmidsError` ends this child, to be started again."""

RestHook = Callable[[bytes], None]
"""Takes what a child still writes when nobody runs the `ReadHook` any more, since its end was asked for."""

log = structlog.get_logger()


@define(eq=False, kw_only=True)
class Child:
    """A process that has just been started."""

    process: Process
    stderr: StderrLog
    stop_by: StopBy
    feed: FeedHook | None
    read: ReadHook | None
    reads: Sequence[ReadHook]
    """One for each of its outputs beside the standard one."""
    rest: RestHook | None
    """Without it, what a child writes after its end was asked for goes nowhere."""
    finishing: trio.Event
    """Set from outside to end this life in order, and from here when the feed has ended."""
    on_health: Callable[[], None]
    healthy_after: float
    """Seconds of life after which `on_health` is called."""
    is_succeeded: bool = field(default=False, init=False)
    """Whether it has got all that it can take, and another one is to go on."""
    _stop: Stop = field(init=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around all that goes on while the child is to live."""
    _status: int | None = field(default=None, init=False)
    _ended: trio.Event = field(factory=trio.Event, init=False)
    """Set when the child has ended by itself."""
    _fault: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._stop = Stop(self.process, self.stop_by)

    @property
    def is_done(self) -> bool:
        """Whether it has ended by itself, and as it should."""
        return self._status == 0 and self._fault is None and not self.finishing.is_set()

    async def live(self) -> str:
        """Returns in what way the child has ended, such as "exited with status 1"."""
        try:
            with self._scope:
                await self._attend()
        finally:
            if self._status is None:
                await self._end()
            self.process.close()
            self.stderr.end(self._outcome())
        return self._outcome()

    async def _attend(self) -> None:
        """Until the child ends by itself."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_health)
            nursery.start_soon(self._watch_finishing)
            if self.feed is not None and self.process.stdin is not None:
                nursery.start_soon(self._feed, self.feed, self.process.stdin)
            async with trio.open_nursery() as outputs:
                outputs.start_soon(self._log_stderr)
                if self.read is not None and self.process.stdout is not None:
                    outputs.start_soon(self._read, self.read, self.process.stdout)
                for read, output in zip(self.reads, self.process.outputs, strict=True):
                    outputs.start_soon(self._read, read, output)
                self._status = await self.process.wait()
                self._ended.set()
                outputs.cancel_scope.deadline = trio.current_time() + LAST_OUTPUT_SECONDS
            nursery.cancel_scope.cancel()

    async def _end(self) -> None:
        """End the child in order. Nothing is fed any more, and what it still writes goes nowhere."""
        deadline = self._stop.ask() + STOP_SECONDS
        with trio.CancelScope(shield=True, deadline=deadline):
            async with trio.open_nursery() as outputs:
                outputs.start_soon(self._log_stderr)
                if self.process.stdout is not None:
                    outputs.start_soon(_drain, self.process.stdout, self.rest)
                for output in self.process.outputs:
                    outputs.start_soon(_drain, output, None)
                self._status = await self._stop.wait()
                outputs.cancel_scope.deadline = trio.current_time() + LAST_OUTPUT_SECONDS
        if self._status is None:
            log.error("child outlives SIGKILL", pid=self.process.pid)

    def _outcome(self) -> str:
        if self._fault is not None:
            return f"was ended: {self._fault}"
        return "cannot be killed" if self._status is None else describe_exit(self._status)

    # The tasks of a life.

    async def _feed(self, feed: FeedHook, stdin: ChildInput) -> None:
        has_ended = False
        try:
            await feed(stdin)
            self.finishing.set()
            has_ended = True
        except* NextChild:
            self.is_succeeded = has_ended = True
        except* trio.BrokenResourceError:
            pass  # the child has ended, or else says why soon
        except* MmidsError as group:
            self._give_up(str(next(leaves(group))))
        if has_ended:
            self._stop.ask()
        await self._expect_end("it closed its input but went on")

    async def _read(self, read: ReadHook, stdout: ChildOutput) -> None:
        try:
            await read(stdout)
        except* MmidsError as group:
            self._give_up(str(next(leaves(group))))
        await self._expect_end("it closed its output but went on")

    async def _expect_end(self, otherwise: str) -> None:
        """Let the child end by itself for as long as one that was asked to."""
        with trio.move_on_after(TERMINATE_AFTER_SECONDS):
            await self._ended.wait()
            return
        self._give_up(otherwise)

    def _give_up(self, fault: str) -> None:
        if self._fault is None and not self.finishing.is_set() and not self.is_succeeded:
            self._fault = fault
        self._scope.cancel()

    async def _log_stderr(self) -> None:
        while data := await self.process.stderr.receive_some(STDERR_READ):
            if not self.stderr.receive(data):
                await trio.sleep(FLOOD_PAUSE_SECONDS)

    async def _watch_health(self) -> None:
        await trio.sleep(self.healthy_after)
        self.on_health()

    async def _watch_finishing(self) -> None:
        await self.finishing.wait()
        if self.feed is not None:
            await trio.sleep(FINISH_SECONDS)
        self._scope.cancel()


async def _drain(output: ChildOutput, rest: RestHook | None) -> None:
    try:
        while data := await output.receive_some(STDOUT_READ):
            if rest is not None:
                rest(data)
    except MmidsError as error:
        log.warning("the last of a child's output is lost", reason=str(error))
        await _drain(output, None)
