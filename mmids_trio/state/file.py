"""The file that a state is kept in: replaced whole or not at all, whatever happens in between.

The order is what makes it safe: write another file beside it, have that on the disk, rename it, have the directory on
the disk.  System calls come from outside so that tests can fail and crash at each of them.  All of it may block.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from attrs import define, field

from mmids_trio.errors import MmidsError

MODE = 0o600
"""Definitions may hold stream keys and addresses with passwords."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest state file: that of a configuration file."""

READ_BYTES = 1024 * 1024


class StateError(MmidsError):
    """The state cannot be read or kept; the message says which file and why."""


class SystemCalls(Protocol):
    """What is asked of the operating system, as in `os`; each raises `OSError`."""

    def open(self, path: str, flags: int, mode: int = 0o777, /) -> int: ...
    def read(self, fd: int, length: int, /) -> bytes: ...
    def write(self, fd: int, data: bytes, /) -> int: ...
    def fsync(self, fd: int, /) -> None: ...
    def close(self, fd: int, /) -> None: ...
    def replace(self, source: str, target: str, /) -> None: ...
    def unlink(self, path: str, /) -> None: ...


@define(eq=False)
class StateFile:
    """The file at `path`, an absolute one; `lock` first, then it is nobody else's."""

    path: Path
    system: SystemCalls = field(default=os)
    _lock: int | None = field(default=None, init=False)

    @property
    def temporary(self) -> Path:
        """What is written first. Only one server writes, so one name will do, and a crash leaves no more than one."""
        return self.path.with_name(f"{self.path.name}.new")

    @property
    def lock_path(self) -> Path:
        """What is locked; the file itself is another one after each change. It stays: removing it would be a race."""
        return self.path.with_name(f"{self.path.name}.lock")

    def lock(self) -> None:
        """Keep other servers away, and remove what a crash has left. Raises `StateError`."""
        try:
            self._lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.clean()
        except BlockingIOError:
            self.unlock()
            raise StateError(
                f"another server keeps its state in {self.path}; the setting state_path names the file"
            ) from None
        except OSError as error:
            self.unlock()
            raise StateError(
                f"cannot keep the state in {self.path}: {error.strerror}; the setting state_path names the file"
            ) from error

    def unlock(self) -> None:
        """Let other servers have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clean(self) -> None:
        """Remove what a crash has left. Raises `OSError`."""
        with suppress(FileNotFoundError):
            self.system.unlink(str(self.temporary))

    def read(self) -> bytes | None:
        """All of it; `None` where there is no file. Raises `StateError`."""
        try:
            descriptor = self.system.open(str(self.path), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror) from error
        try:
            return self._read_all(descriptor)
        except OSError as error:
            raise self._unreadable(error.strerror) from error
        finally:
            self.system.close(descriptor)

    def _read_all(self, descriptor: int) -> bytes:
        data = bytearray()
        while piece := self.system.read(descriptor, READ_BYTES):
            data += piece
            if len(data) > MAX_FILE_BYTES:
                raise self._unreadable(f"it is larger than {MAX_FILE_BYTES // 1024**2} MiB")
        return bytes(data)

    def _unreadable(self, reason: str | None) -> StateError:
        return StateError(f"cannot read the state in {self.path}: {reason}")

    def replace(self, data: bytes) -> None:
        """Put `data` in place of what the file holds; on return it is on the disk.

        Raises `OSError`; the file then has what it had, or (where the very last call failed) `data`.
        """
        try:
            self._write_temporary(data)
            self.system.replace(str(self.temporary), str(self.path))
        except OSError:
            with suppress(OSError):
                self.system.unlink(str(self.temporary))
            raise
        self._sync_directory()

    def _write_temporary(self, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = self.system.open(str(self.temporary), flags, MODE)
        try:
            rest = data
            while rest:
                rest = rest[self.system.write(descriptor, rest) :]
            self.system.fsync(descriptor)
        finally:
            self.system.close(descriptor)

    def _sync_directory(self) -> None:
        descriptor = self.system.open(str(self.path.parent), os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            self.system.fsync(descriptor)
        finally:
            self.system.close(descriptor)
