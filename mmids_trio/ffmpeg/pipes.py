"""Pipes to and from real children, non-blocking on this side.

Apart from the spawner because of one subject: file descriptors that wait on trio. They are like
`trio.lowlevel.FdStream`, but can also be written to without waiting.
"""

import os
from typing import Protocol

import trio

from mmids_trio.net.transport import send_everything


class _File(Protocol):
    """The part of `io.FileIO` that is used; it owns the descriptor."""

    def fileno(self) -> int: ...

    def close(self) -> None: ...


class _PipeEnd:
    """One end, which this object owns."""

    __slots__ = ("_fd", "_file")

    def __init__(self, file: _File) -> None:
        self._file: _File | None = file
        self._fd = file.fileno()
        os.set_blocking(self._fd, False)

    def close(self) -> None:
        """Close; who waits on it gets `trio.ClosedResourceError`. May be repeated."""
        if self._file is not None:
            trio.lowlevel.notify_closing(self._fd)
            self._file.close()
            self._file, self._fd = None, -1

    def _check(self) -> None:
        if self._file is None:
            raise trio.ClosedResourceError("this pipe was closed here")


class InputPipe(_PipeEnd):
    """A `ChildInput` on the writing end of a pipe."""

    __slots__ = ()

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `ChildInput`."""
        self._check()
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError(f"cannot write to the child: {error.strerror}") from error

    async def wait_writable(self) -> None:
        """See `ChildInput`."""
        self._check()
        await trio.lowlevel.wait_writable(self._fd)

    async def send_all(self, data: bytes) -> None:
        """See `ChildInput`."""
        await send_everything(self, data)


class OutputPipe(_PipeEnd):
    """A `ChildOutput` on the reading end of a pipe."""

    __slots__ = ()

    async def receive_some(self, max_bytes: int) -> bytes:
        """See `ChildOutput`. Always a checkpoint, so that a child that floods starves nobody."""
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            try:
                return os.read(self._fd, max_bytes)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._fd)
