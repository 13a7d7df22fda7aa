"""The log files of a server: a new one every hour, so many kept, and never more bytes than one may have in all.

The bytes bound what the hours do not: an hour can be written full by whoever makes the server write.
"""

import logging
import os
import re
import time
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

from attrs import define, frozen

SHARES = 16
"""The current file is ended at this part of all bytes, so that the oldest files go in small pieces."""

_ADDED = re.compile(r"\.(?P<hour>\d{4}-\d{2}-\d{2}_\d{2})(\.(?P<number>\d{1,9}))?")
"""What is added to the name of a file that is not written any more: the hour, and a number for a further one of it."""


@define
class LogFileCounts:
    """What did not stay, or never came to be."""

    dropped_bytes: int = 0
    """Of files that went before their time, since there were too many bytes."""
    lost_lines: int = 0
    """Lines that could not be written."""


@frozen
class _Rolled:
    """A file that is not written any more."""

    hour: str
    number: int
    path: Path
    size: int


class BoundedLogFiles(TimedRotatingFileHandler):
    """Writes lines of ASCII to `path`; rolled files are beside it.

    Those of the last `kept` hours stay; with the current one they have `max_bytes` at most.
    """

    def __init__(self, path: Path, *, kept: int, max_bytes: int, counts: LogFileCounts) -> None:
        super().__init__(path, when="H", backupCount=kept, encoding="utf-8", utc=True)
        self._path = path
        self._share = max_bytes // SHARES
        self._max_bytes = max_bytes
        self._counts = counts
        self._size = path.stat().st_size
        self._is_failing = False
        self._delete_oldest()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, to the next file where this one is full or its hour over."""
        try:
            line = self.format(record) + self.terminator
            if self.shouldRollover(record) or (self._size and self._size + len(line) > self._share):
                self.doRollover()
            stream = self.stream or self._begin()  # which may have failed before
            stream.write(line)
            stream.flush()
            self._size += len(line)
            self._is_failing = False
        except Exception:
            self._counts.lost_lines += 1
            if not self._is_failing:  # one traceback on the console for a full disk, not one a line
                self._is_failing = True
                self.handleError(record)

    def doRollover(self) -> None:
        """End the current file and begin another one."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        hour = time.strftime(self.suffix, time.gmtime(self.rolloverAt - self.interval))
        if self._path.exists():
            numbers = [file.number for file in self._rolled() if file.hour == hour]
            further = f".{max(numbers) + 1}" if numbers else ""
            self._path.rename(self._path.with_name(f"{self._path.name}.{hour}{further}"))
        self._begin()
        self._delete_oldest()

    def _begin(self) -> TextIOWrapper:
        self.stream = stream = self._open()
        self._size = os.fstat(stream.fileno()).st_size
        self.rolloverAt = self.computeRollover(int(time.time()))
        return stream

    def _rolled(self) -> list[_Rolled]:
        """The files that are not written any more, the oldest first."""
        found = []
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            if (match := _ADDED.fullmatch(path.name.removeprefix(self._path.name))) is not None:
                with suppress(OSError):
                    found.append(_Rolled(match["hour"], int(match["number"] or 0), path, path.stat().st_size))
        return sorted(found, key=lambda file: (file.hour, file.number))

    def _delete_oldest(self) -> None:
        """Until those are left that may be, with room for the current file."""
        files = self._rolled()
        hours = sorted({file.hour for file in files})[-self.backupCount :]
        size = sum(file.size for file in files) + max(self._share, self._size)
        for file in files:
            is_old = file.hour < hours[0]
            if not is_old and size <= self._max_bytes:
                return
            with suppress(OSError):
                file.path.unlink()
                size -= file.size
                self._counts.dropped_bytes += 0 if is_old else file.size
