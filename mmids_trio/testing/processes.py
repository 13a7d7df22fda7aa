"""Child processes that only exist in memory: they do what a script says, on trio's clock, also on the mock clock.

They have no tasks of their own, so nothing of them can be left behind; what is due is worked out when
somebody waits for it.  Tests can also steer them by hand (`write_stdout`, `exit`).
"""

import errno
import itertools
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf

import trio
from attrs import define, field, frozen

PIPE_BYTES = 64 * 1024
"""What a pipe holds, as on Linux."""

FIRST_PID = 1000

SHOWN_CHARACTERS = 80
"""Of a child's command line, in messages."""

OBEDIENT: Mapping[signal.Signals, float] = {signal.SIGINT: 0.0, signal.SIGTERM: 0.0}
"""Ends at once when told to."""


@frozen
class Behaviour:
    """What a child does by itself and when it is told to end. Times in seconds from its start, or from the telling."""

    exits_after: float = inf
    exit_status: int = 0
    """Status of an end that no signal brought about by force."""
    stderr: Sequence[tuple[float, bytes]] = ()
    """What it writes, and when."""
    stdout: Sequence[tuple[float, bytes]] = ()
    reads_stdin: bool = True
    """Otherwise its pipe fills up and stays full."""
    echoes: bool = False
    """Whether all that it reads comes out at its standard output, and at all others."""
    exits_after_end_of_input: float = 0.0
    signals: Mapping[signal.Signals, float] = field(factory=lambda: dict(OBEDIENT))
    """How long it takes to end after a signal; one that is not listed is ignored. SIGKILL works at once."""
    closes_stdin_after: float = inf
    """When it stops to read for good, so that writers get an error."""
    stalls_after: float = inf
    """When it stops to read and to write for good, and lives on; signals still have their effect."""
    survives_sigkill: bool = False
    """As a process does that hangs in the kernel."""
    cannot_start: int = 0
    """An `errno` with which starting it fails."""


class FakeInput:
    """The `ChildInput` of a `FakeProcess`."""

    def __init__(self, process: "FakeProcess") -> None:
        self._process = process
        self.received = bytearray()
        """All that the child has read."""
        self.waiting = bytearray()
        """What the pipe holds."""
        self.is_closed = False

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `ChildInput`."""
        self._check()
        taken = bytes(data[: PIPE_BYTES - len(self.waiting)])
        self.waiting += taken
        self._process.take_input()
        return len(taken)

    async def wait_writable(self) -> None:
        """See `ChildInput`."""
        await trio.lowlevel.checkpoint()
        await self._process.wait_until(lambda: self.is_closed or self._is_broken() or len(self.waiting) < PIPE_BYTES)
        self._check()

    async def send_all(self, data: bytes) -> None:
        """See `ChildInput`."""
        await trio.lowlevel.checkpoint()
        while data:
            sent = self.send_nowait(data)
            data = data[sent:]
            if not sent:
                await self.wait_writable()

    def close(self) -> None:
        """See `ChildInput`."""
        if not self.is_closed:
            self.is_closed = True
            self._process.input_has_ended()

    def _is_broken(self) -> bool:
        return self._process.has_ended or self._process.is_due(self._process.behaviour.closes_stdin_after)

    def _check(self) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError("this pipe was closed here")
        if self._is_broken():
            raise trio.BrokenResourceError("cannot write to the child: Broken pipe")


class FakeOutput:
    """The `ChildOutput` of a `FakeProcess`: what its script says, and what tests add."""

    def __init__(self, process: "FakeProcess", script: Sequence[tuple[float, bytes]]) -> None:
        self._process = process
        self._script = list(script)
        self._data = bytearray()
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Let the child write."""
        self._data += data
        self._process.changed.unpark_all()

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `ChildOutput`."""
        await trio.lowlevel.checkpoint()
        await self._process.wait_until(self._is_ready)
        if self.is_closed:
            raise trio.ClosedResourceError("this pipe was closed here")
        data = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        return data

    def close(self) -> None:
        """Let who waits here know."""
        self.is_closed = True
        self._process.changed.unpark_all()

    @property
    def unread(self) -> int:
        """Bytes that the child has written and nobody has read."""
        return len(self._data)

    @property
    def next_after(self) -> float:
        """When the script writes next, in seconds from the start."""
        after = self._script[0][0] if self._script else inf
        return after if after < self._process.behaviour.stalls_after else inf

    def _is_ready(self) -> bool:
        while self._process.is_due(self.next_after) and self._process.lives_for(self.next_after):
            self._data += self._script.pop(0)[1]
        return bool(self._data) or self.is_closed or self._process.has_ended


@define(eq=False)
class FakeProcess:
    """A `Process` in memory."""

    pid: int
    arguments: tuple[str, ...]
    behaviour: Behaviour
    stdin: FakeInput | None = field(default=None, init=False)
    stdout: FakeOutput | None = field(default=None, init=False)
    stderr: FakeOutput = field(init=False)
    outputs: Sequence[FakeOutput] = field(default=(), init=False)
    signals: list[tuple[float, signal.Signals]] = field(factory=list, init=False)
    """Signals sent to it while it lived, each with its time on trio's clock."""
    is_reaped: bool = field(default=False, init=False)
    is_closed: bool = field(default=False, init=False)
    started_at: float = field(factory=trio.current_time, init=False)
    changed: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _ends_at: float = field(init=False)
    _status: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ends_at = self.started_at + self.behaviour.exits_after
        self._status = self.behaviour.exit_status
        self.stderr = FakeOutput(self, self.behaviour.stderr)

    def is_due(self, seconds: float) -> bool:
        """Whether so much time has passed since its start."""
        # Sums of times are compared, never differences: waiting is for the sum, and rounding must not matter.
        return trio.current_time() >= self.started_at + seconds

    def lives_for(self, seconds: float) -> bool:
        """Whether it gets so old, as far as that is settled."""
        return self.started_at + seconds <= self._ends_at

    @property
    def ended_at(self) -> float:
        """Time of its end on trio's clock, `inf` as long as that is open."""
        return self._ends_at

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, reaped or not."""
        return trio.current_time() >= self._ends_at

    async def wait(self) -> int:
        """See `Process`."""
        await trio.lowlevel.checkpoint()
        await self.wait_until(lambda: self.has_ended)
        self.is_reaped = True
        return self._status

    def poll(self) -> int | None:
        """See `Process`."""
        self.is_reaped = self.has_ended
        return self._status if self.has_ended else None

    def send_signal(self, signal_number: signal.Signals) -> None:
        """See `Process`."""
        if self.has_ended:
            return
        self.signals.append((trio.current_time(), signal_number))
        if signal_number is signal.SIGKILL and not self.behaviour.survives_sigkill:
            self.exit(-signal.SIGKILL)
        elif signal_number in self.behaviour.signals:
            self._end_within(self.behaviour.signals[signal_number], self.behaviour.exit_status)

    def close(self) -> None:
        """See `Process`."""
        self.is_closed = True
        for pipe in (self.stdin, self.stdout, self.stderr, *self.outputs):
            if pipe is not None:
                pipe.close()

    # What a test, or the rest of this module, does with it.

    def exit(self, status: int) -> None:
        """End now; a negative status is a signal's number."""
        self._end_within(0.0, status)

    def take_input(self) -> None:
        """Read what the pipe holds, if it is one that reads."""
        if self.behaviour.reads_stdin and not self.is_due(self.behaviour.stalls_after):
            self.read_input()

    def read_input(self) -> None:
        """Read what the pipe holds."""
        assert self.stdin is not None
        data = bytes(self.stdin.waiting)
        self.stdin.received += data
        self.stdin.waiting.clear()
        if self.behaviour.echoes and data:
            for output in (self.stdout, *self.outputs):
                if output is not None:
                    output.write(data)
        self.changed.unpark_all()

    def input_has_ended(self) -> None:
        """The pipe was closed at the other end."""
        is_reading = self.behaviour.reads_stdin and not self.is_due(self.behaviour.stalls_after)
        if is_reading and not self.has_ended:
            self._end_within(self.behaviour.exits_after_end_of_input, self.behaviour.exit_status)
        self.changed.unpark_all()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, which depends on time and on what is done to this process."""
        while not condition():
            with trio.move_on_at(self._next_change()):
                await self.changed.park()

    def _next_change(self) -> float:
        """When something happens by itself, on trio's clock."""
        outputs = [output for output in (self.stderr, self.stdout, *self.outputs) if output is not None]
        delays = [self.behaviour.closes_stdin_after, *(output.next_after for output in outputs)]
        times = [self._ends_at, *(self.started_at + delay for delay in delays)]
        return min((time for time in times if time > trio.current_time()), default=inf)

    def _end_within(self, seconds: float, status: int) -> None:
        ends_at = trio.current_time() + seconds
        if ends_at < self._ends_at:
            self._ends_at, self._status = ends_at, status
        self.changed.unpark_all()


@define(eq=False)
class FakeSpawner:
    """A `Spawner` of such children: one behaviour after the other, the last one for all that follow."""

    behaviours: Iterable[Behaviour] = (Behaviour(),)
    takes: float = 0.0
    """Seconds that a start takes."""
    processes: list[FakeProcess] = field(factory=list, init=False)
    """All that were started, oldest first."""
    attempts: list[float] = field(factory=list, init=False)
    """When a start was tried, on trio's clock."""
    _coming: list[Behaviour] = field(init=False)
    _pids: "itertools.count[int]" = field(factory=lambda: itertools.count(FIRST_PID), init=False)

    def __attrs_post_init__(self) -> None:
        self._coming = list(self.behaviours)

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool, outputs: int = 0) -> FakeProcess:
        """See `Spawner`."""
        await trio.sleep(self.takes)
        self.attempts.append(trio.current_time())
        behaviour = self._coming.pop(0) if len(self._coming) > 1 else self._coming[0]
        if behaviour.cannot_start:
            raise OSError(behaviour.cannot_start, errno.errorcode[behaviour.cannot_start])
        process = FakeProcess(next(self._pids), tuple(arguments), behaviour)
        process.stdin = FakeInput(process) if stdin else None
        process.stdout = FakeOutput(process, behaviour.stdout) if stdout else None
        process.outputs = [FakeOutput(process, behaviour.stdout) for _ in range(outputs)]
        self.processes.append(process)
        return process

    @property
    def running(self) -> list[FakeProcess]:
        """Children that have not ended."""
        return [process for process in self.processes if not process.has_ended]

    def what_is_left(self) -> Iterator[str]:
        """A sentence for each child that has not ended, or was not awaited, or whose pipes were not closed."""
        for process in self.processes:
            name = f"child {process.pid} ({' '.join(process.arguments)[:SHOWN_CHARACTERS]})"
            if not process.has_ended:
                yield f"{name} is still there"
            elif not process.is_reaped:
                yield f"{name} was not awaited"
            elif not process.is_closed:
                yield f"the pipes of {name} are still open"

    def check_nothing_is_left(self) -> None:
        """Raise `AssertionError` unless every child has ended, was awaited and its pipes were closed."""
        left = list(self.what_is_left())
        assert not left, "; ".join(left)
