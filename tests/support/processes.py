"""Real processes in tests: started in a nursery, read line by line, waited for by what they print.

Every wait ends with what was waited for, or with an `AssertionError` that shows what the process printed instead.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import trio
from attrs import define, field

HANG_SECONDS = 30.0
"""After which a wait is given up: far more than anything here takes, also on a busy machine."""

SHOWN_LINES = 40
"""Of a process's output, in the message of a wait that was in vain."""


@define(eq=False)
class Printed:
    """What a process has printed on one of its outputs so far, in complete lines."""

    name: str
    lines: list[str] = field(factory=list, init=False)
    has_ended: bool = field(default=False, init=False)
    _more: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    async def until(self, condition: Callable[[Sequence[str]], object], what: str) -> None:
        """Wait until `condition` of the lines holds; `what` says so in words."""
        with trio.move_on_after(HANG_SECONDS):
            while not condition(self.lines):
                if self.has_ended:
                    raise AssertionError(f"{self.name} ended without {what}; it printed\n{self._tail()}")
                await self._more.park()
            return
        raise AssertionError(f"{self.name} is without {what} after {HANG_SECONDS} s; it printed\n{self._tail()}")

    async def line(self, pattern: str, *, after: int = 0) -> str:
        """Wait for the first line with `pattern` (a regular expression), from line number `after` on."""

        def find(lines: Sequence[str]) -> str | None:
            return next((line for line in lines[after:] if re.search(pattern, line)), None)

        await self.until(find, f"a line with {pattern!r}")
        return str(find(self.lines))

    async def read(self, stream: trio.abc.ReceiveStream) -> None:
        """Take in everything until the end of `stream`."""
        rest = b""
        async for data in stream:
            *complete, rest = (rest + data).split(b"\n")
            self._add(complete)
        self._add([rest] if rest else [])
        self.has_ended = True
        self._more.unpark_all()

    def _add(self, lines: Sequence[bytes]) -> None:
        self.lines += [line.decode(errors="replace") for line in lines]
        self._more.unpark_all()

    def _tail(self) -> str:
        return "\n".join(self.lines[-SHOWN_LINES:])


@define(eq=False)
class Child:
    """A process that a test has started; it is killed with the nursery at the latest."""

    name: str
    process: trio.Process
    out: Printed
    err: Printed
    _ended: trio.Event = field(factory=trio.Event, init=False)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    async def end(self, seconds: float = HANG_SECONDS) -> int:
        """Wait for its end, and the end of what it prints; the exit status."""
        with trio.move_on_after(seconds):
            await self._ended.wait()
            return self._status
        raise AssertionError(f"{self.name} still runs after {seconds} s; it printed\n{self.out.text}\n{self.err.text}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def run(self) -> None:
        """Read what it prints and wait for its end."""
        try:
            async with trio.open_nursery() as nursery:
                for printed, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr)):
                    if stream is not None:
                        nursery.start_soon(printed.read, stream)
            await self.process.wait()
            self._ended.set()
        finally:
            if self.is_running:
                self.process.kill()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + HANG_SECONDS):
                    await self.process.wait()

    @property
    def _status(self) -> int:
        assert self.process.returncode is not None
        return self.process.returncode


async def start(
    nursery: trio.Nursery,
    command: Sequence[str],
    *,
    name: str | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
) -> Child:
    """Start `command` in `nursery`; `environment` is added to the test's own.

    With a file descriptor for `stdout` it prints there, and `Child.out` stays empty.
    """
    process = await trio.lowlevel.open_process(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=directory,
        env={**os.environ, **(environment or {})},
    )
    name = name or Path(command[0]).name
    child = Child(name, process, Printed(f"{name} (stdout)"), Printed(f"{name} (stderr)"))
    nursery.start_soon(child.run)
    return child
