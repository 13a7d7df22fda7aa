"""The file that a tape is written to.

Apart from the writer, which is tested without files: writing takes a thread, so that a slow disk stops nobody.
"""

import errno
import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

import trio
from attrs import define, field

from mmids_trio.errors import MmidsError
from mmids_trio.offload import in_thread

WRITE_SECONDS = 2.0
"""What one write may take, also when the server stops; a disk that takes longer for 1 MiB cannot keep up anyway."""


class CannotCapture(MmidsError):
    """The tape cannot be made; the message says which and why."""


@define(eq=False)
class TapeFile:
    """A new file, for its owner alone; a `Sink`."""

    _file: BinaryIO = field()
    _is_writing: bool = field(default=False, init=False)

    @classmethod
    def create(cls, path: Path) -> "TapeFile":
        """Make the file. Raises `CannotCapture`, also where there is one already."""
        try:
            return cls(open(path, "xb", buffering=0, opener=_open_for_owner))
        except OSError as error:
            raise CannotCapture(f"cannot capture to {path}: {error.strerror}") from error

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        self._is_writing = True
        with trio.move_on_after(WRITE_SECONDS, shield=True):  # half a write would be the end of the tape
            try:
                await in_thread(partial(self._write_all, data))
            except OSError:
                self._is_writing = False
                raise
            self._is_writing = False
        if self._is_writing:
            raise OSError(errno.ETIMEDOUT, f"the disk took nothing for {WRITE_SECONDS:.0f} s")

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file, unless a thread still hangs in it."""
        if not self._is_writing:
            self._file.close()


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
