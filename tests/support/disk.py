"""A disk in memory that forgets at a crash what was not synced, and fails or crashes at whichever call a test likes."""

import errno
import os
from collections.abc import Iterator

from attrs import define, field

STATE = "/disk/state"


class Crash(BaseException):
    """The power has gone."""


@define(eq=False)
class Inode:
    """A file: what programs see of it, and what is on the platter."""

    seen: bytes = b""
    kept: bytes = b""

    def after_crash(self) -> set[bytes]:
        """What may be found of it: of what was not synced everything, nothing or the beginning."""
        return {self.kept} if self.kept == self.seen else {self.kept, self.seen, self.seen[: len(self.seen) // 2]}


@define(eq=False)
class Disk:
    """See `state.file.SystemCalls`. The call with number `fatal` (from 0) fails, or with `crashes` is the last one.

    It does so before it has any effect, or with `late` after it had. Writes take three bytes at most.
    """

    fatal: int | None = None
    crashes: bool = False
    late: bool = False
    syncs: bool = True
    calls: list[str] = field(factory=list)
    seen: dict[str, Inode] = field(factory=dict)
    """The directory as programs see it."""
    kept: dict[str, Inode] = field(factory=dict)
    """The directory on the platter."""
    is_off: bool = False
    _open: dict[int, Inode | None] = field(factory=dict)
    _next: int = 3

    def _call(self, name: str) -> bool:
        """Count a call; whether it is to have an effect."""
        if self.is_off:
            raise Crash
        self.calls.append(name)
        return len(self.calls) - 1 != self.fatal or self.late

    def _end(self, name: str) -> None:
        if len(self.calls) - 1 == self.fatal:
            self.is_off = self.crashes
            raise Crash if self.crashes else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def open(self, path: str, flags: int, mode: int = 0o777, /) -> int:
        if self._call("open"):
            self._next += 1
            self._open[self._next] = None if flags & os.O_DIRECTORY else self._file(path, flags)
        self._end("open")
        return self._next

    def _file(self, path: str, flags: int) -> Inode:
        if path not in self.seen and not flags & os.O_CREAT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        inode = self.seen.setdefault(path, Inode())
        if flags & os.O_TRUNC:
            inode.seen = b""
        return inode

    def read(self, fd: int, length: int, /) -> bytes:
        raise NotImplementedError

    def write(self, fd: int, data: bytes, /) -> int:
        inode = self._open[fd]
        assert inode is not None
        if self._call("write"):
            inode.seen += data[:3]
        self._end("write")
        return len(data[:3])

    def fsync(self, fd: int, /) -> None:
        inode = self._open[fd]
        if self._call("fsync") and self.syncs:
            if inode is None:
                self.kept = dict(self.seen)
            else:
                inode.kept = inode.seen
        self._end("fsync")

    def close(self, fd: int, /) -> None:
        del self._open[fd]
        self._call("close")
        self._end("close")

    def replace(self, source: str, target: str, /) -> None:
        if self._call("replace"):
            self.seen[target] = self.seen.pop(source)
        self._end("replace")

    def unlink(self, path: str, /) -> None:
        if self._call("unlink"):
            if path not in self.seen:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            del self.seen[path]
        self._end("unlink")

    def after_crash(self) -> Iterator[bytes | None]:
        """Everything that may be found at `STATE` after a crash now."""
        for directory in (self.kept, self.seen):
            inode = directory.get(STATE)
            yield from (None,) if inode is None else inode.after_crash()
