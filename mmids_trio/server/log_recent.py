"""The newest lines of the log, in memory: for who asks over the API what has happened.

A line is kept as it was made for the log, without its secrets; that costs nothing until somebody asks.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen

MOST_LINES = 5_000
"""Lines that are kept: an hour of a busy server."""

MOST_CHARACTERS = 4 * 1024 * 1024
"""Of all of them; a traceback has 16,000."""

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}

Line = Mapping[str, object]


@frozen
class _Kept:
    line: Line
    size: int


@define(eq=False)
class RecentLines:
    """See the module."""

    dropped: int = field(default=0, init=False)
    """Lines that had to go for newer ones."""
    _kept: deque[_Kept] = field(factory=deque, init=False)
    _size: int = field(default=0, init=False)

    def add(self, line: Line) -> None:
        """Keep a line, in place of the oldest where there is no room."""
        size = sum(len(value) for value in line.values() if isinstance(value, str)) + 32 * len(line)
        self._kept.append(_Kept(line, size))
        self._size += size
        while len(self._kept) > MOST_LINES or self._size > MOST_CHARACTERS:
            self._size -= self._kept.popleft().size
            self.dropped += 1

    def newest(self, most: int, *, workflow: str | None, level: str, since: str | None) -> Sequence[Line]:
        """The newest `most` that are as wanted, the oldest of these first. `level`: at the least; `since`: RFC 3339."""
        found: list[Line] = []
        for line in self._newest_first():
            if len(found) == most or (since is not None and str(line.get("timestamp", "")) < since):
                break
            is_wanted = workflow is None or line.get("workflow") == workflow
            if is_wanted and LEVELS.get(str(line.get("level")), 0) >= LEVELS[level]:
                found.append(line)
        return found[::-1]

    def _newest_first(self) -> Iterator[Line]:
        for kept in reversed(self._kept):
            yield kept.line


class RecentHandler(logging.Handler):
    """Gives every line to `recent`; its formatter makes JSON of what libraries log."""

    def __init__(self, recent: RecentLines) -> None:
        super().__init__()
        self._recent = recent

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if isinstance(record.msg, dict):  # structlog's, which went through all processors
            self._recent.add({name: value for name, value in record.msg.items() if not name.startswith("_")})
            return
        try:
            self._recent.add(json.loads(self.format(record)))
        except Exception:
            self.handleError(record)
