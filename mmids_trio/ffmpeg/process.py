"""A child process as its supervisor sees it: narrow Protocols, and the words for how a child ended.

Apart from the real children because tests put scripted ones behind the same Protocols.
"""

import signal
from collections.abc import Sequence
from typing import Protocol


class ChildInput(Protocol):
    """The writing end of a child's standard input: a pipe, so bounded (64 KiB on Linux)."""

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Write what fits at once: the number of bytes, 0 when the pipe is full.

        Raises `trio.BrokenResourceError` when the child reads no more.
        """

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` is worth another try (or would raise)."""

    async def send_all(self, data: bytes) -> None:
        """Write everything, waiting for room. Raises `trio.BrokenResourceError`."""

    def close(self) -> None:
        """Let the child read the end; who waits here gets `trio.ClosedResourceError`. May be repeated."""


class ChildOutput(Protocol):
    """The reading end of a child's standard output or error."""

    async def receive_some(self, max_bytes: int) -> bytes:
        """What the child has written, at least one byte; `b""` at the end."""


class Process(Protocol):
    """One child, from its start until it has been awaited."""

    @property
    def pid(self) -> int:
        """Process id, that of the program itself."""

    @property
    def stdin(self) -> ChildInput | None:
        """`None` where the child's input is empty."""

    @property
    def stdout(self) -> ChildOutput | None:
        """`None` where the child's output goes nowhere."""

    @property
    def stderr(self) -> ChildOutput:
        """What the child complains about."""

    @property
    def outputs(self) -> Sequence[ChildOutput]:
        """Beside its standard output."""

    async def wait(self) -> int:
        """Wait for the end and reap: the exit status, or minus the number of the signal. May be repeated."""

    def poll(self) -> int | None:
        """What `wait` returns, if the child has ended: reaped at once; else `None`."""

    def send_signal(self, signal_number: signal.Signals) -> None:
        """Send a signal; nothing happens when the child has ended."""

    def close(self) -> None:
        """Close all pipes and handles; does not end the child. May be repeated."""


class Spawner(Protocol):
    """Where children come from."""

    async def spawn(self, arguments: Sequence[str], *, stdin: bool, stdout: bool, outputs: int = 0) -> Process:
        """Start the program whose path is `arguments[0]`, with pipes as asked; standard error is always one.

        `outputs`: how many pipes more it writes to; an argument that is `output_pipe(0)` names the first of them.
        When this raises, also when it is cancelled, nothing was started.  Raises `OSError`.
        """


def output_pipe(index: int) -> str:
    """An argument that stands for one of a child's `outputs`: nobody knows its descriptor before there is one."""
    return f"pipe:output{index}"


def describe_exit(status: int) -> str:
    """How a child ended, for an operator: "exited with status 1", "was killed by SIGKILL"."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
