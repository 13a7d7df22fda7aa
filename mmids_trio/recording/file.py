"""The file that a tape is written to.

Apart from the recorder, which is tested without files: writing takes a thread, so that a slow disk stops nobody.
"""

import os
from functools import partial
from pathlib import Path
from typing import BinaryIO

from attrs import define, field

from mmids_trio.errors import MmidsError
from mmids_trio.offload import in_thread


class CannotRecord(MmidsError):
    """The tape cannot be made; the message says which and why."""


@define(eq=False)
class TapeFile:
    """A new file, for its owner alone; a `Sink`."""

    _file: BinaryIO = field()

    @classmethod
    def create(cls, path: Path) -> "TapeFile":
        """Make the file. Raises `CannotRecord`, also where there is one already."""
        try:
            return cls(open(path, "xb", buffering=0, opener=_open_for_owner))
        except OSError as error:
            raise CannotRecord(f"cannot record to {path}: {error.strerror}") from error

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        await in_thread(partial(self._write_all, data))

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
