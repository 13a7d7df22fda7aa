"""Where the lines go that children write to standard error: a rotated file each, and a few kept for the message.

Files are written in the event loop, not in a thread: one write of at most a few kilobytes goes into the page
cache in some 10 µs, where a hop to a thread costs 100 and would lose the last lines, those that matter, when a
step is cancelled.  The server's own log is written the same way.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import structlog
from attrs import define, field

from mmids_trio.ffmpeg.masking import LineReader
from mmids_trio.masking import bare_key, mask
from mmids_trio.net.limits import TokenBucket

FOLDER = "ffmpeg"
"""Within the directory of the setting `log_path`."""

MAX_FILE_BYTES = 1024 * 1024
KEPT_FILES = 3
"""Files of one child, the current one included: 3 MiB are some 30,000 lines, weeks of a dead URL."""

KEPT_LINES = 10
"""Lines for the message; ffmpeg says why it ends within the last three or four."""

LONGEST_KEPT_LINE = 500
"""Characters of each of those; they go into answers of the HTTP API, once for every stream."""

MAX_LINES_BURST, MAX_LINES_RATE = 500, 50
"""Lines that are kept of what a child writes, at once and a second; ffmpeg begins with a hundred, then reports twice a
second. What is more costs a count."""

MAX_BYTES_BURST, MAX_BYTES_RATE = 256 * 1024, 16 * 1024
"""Bytes of them, at once and a second."""

LIMITS = f"more than {MAX_LINES_RATE} lines or {MAX_BYTES_RATE} bytes a second"

LAST_BYTES = 4096
"""Of what is left out, for the last lines of a child that ends meanwhile, which are written all the same: they say
why."""

LONGEST_PART = 60
"""Characters of a name's part; three of them stay below the 255 bytes that file systems allow."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")

log = structlog.get_logger()


def log_path(directory: Path, workflow: str, step: str, stream: str) -> Path:
    """`<directory>/ffmpeg/<workflow>-<step>-<stream>.log`, whatever the names contain.

    Where a name had to be changed, a digest of it follows, so that different names stay different. What was meant as
    the query of a stream key may hold its token, and is left out.
    """
    return directory / FOLDER / f"{'-'.join(map(_safe, (workflow, step, stream)))}.log"


def _safe(name: str) -> str:
    safe = _UNSAFE.sub("_", bare_key(name))[:LONGEST_PART]
    if safe == name and name:
        return name
    return f"{safe}~{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"


def _line_ends(data: bytes) -> int:
    """About how many lines end in `data`; exact but for a mixture of kinds of line ends."""
    return max(data.count(b"\n"), data.count(b"\r"))


@define(eq=False)
class _Gap:
    """What a child has written beyond its allowance."""

    lines: int = 0
    size: int = 0
    last: bytes = b""

    def add(self, data: bytes) -> None:
        self.lines += _line_ends(data)
        self.size += len(data)
        self.last = (self.last + data)[-LAST_BYTES:]


@define(eq=False)
class StderrLog:
    """The log of one child over all its restarts. The file is opened with the first line."""

    path: Path
    secrets: Sequence[str] = ()
    """Texts that are masked wherever they stand, such as the stream key of a target."""
    hide: Callable[[str], str] = lambda text: text
    """Takes away what else must not be kept."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, for how much a child may write; never goes back."""
    on_left_out: Callable[[int], None] = field(default=lambda lines: None)
    """Is told how many lines were not kept."""
    has_file: bool = True
    """Else only the latest lines are kept, for messages."""
    last_lines: deque[str] = field(factory=lambda: deque[str](maxlen=KEPT_LINES), init=False)
    """The latest lines of the current start, masked."""
    _reader: LineReader = field(init=False)
    _lines: TokenBucket = field(init=False)
    _bytes: TokenBucket = field(init=False)
    _gap: _Gap | None = field(default=None, init=False)
    """What was left out since the last line that was kept."""
    _file: int | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _has_failed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = LineReader(self.secrets, self.hide)
        self._lines = TokenBucket(MAX_LINES_BURST, MAX_LINES_RATE, self.clock())
        self._bytes = TokenBucket(MAX_BYTES_BURST, MAX_BYTES_RATE, self.clock())

    def begin(self, command: Sequence[str]) -> None:
        """A child starts, with this command."""
        self.last_lines.clear()
        self._has_failed = False
        self.note(f"starting {mask(self.hide(' '.join(command)), self.secrets)}")

    def receive(self, data: bytes) -> bool:
        """What the child has written. Whether it was kept: a child that floods is to be read slowly."""
        now = self.clock()
        if not (self._lines.take(_line_ends(data), now) and self._bytes.take(len(data), now)):
            self._gap = self._gap or _Gap()
            self._gap.add(data)
            self.on_left_out(_line_ends(data))
            return False
        if self._gap is not None:
            self._tell_of(self._gap)
        self._keep(self._reader.receive(data))
        return True

    def end(self, what: str) -> None:
        """The child has ended, and how."""
        if self._gap is not None:
            last = self._gap.last
            self._tell_of(self._gap)
            self._reader.skip()
            self._keep([*self._reader.receive(last), *self._reader.finish()][-KEPT_LINES:])
        else:
            self._keep(self._reader.finish())
        self.note(what)

    def _tell_of(self, gap: _Gap) -> None:
        """The child is heard again, from the beginning of its next line."""
        self._gap = None
        self._reader.skip()
        if gap.last.endswith((b"\n", b"\r")):
            self._reader.finish()
        self.note(f"{gap.lines} lines left out ({gap.size} bytes): {LIMITS}")

    def note(self, text: str) -> None:
        """Write a line of the supervisor's own."""
        self._write([f"[supervisor] {text}"])

    def close(self) -> None:
        """Close the file; another line opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _keep(self, lines: list[str]) -> None:
        self.last_lines.extend(line[:LONGEST_KEPT_LINE] for line in lines)
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        """The file is a convenience: a full disk must not end a stream. The first failure of a start is logged."""
        if not lines or self._has_failed or not self.has_file:
            return
        stamp = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        data = "".join(f"{stamp} {line}\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            self._append(data)
        except OSError as error:
            self._has_failed = True
            self.close()
            log.warning("cannot write the log of a child", path=str(self.path), reason=error.strerror)

    def _append(self, data: bytes) -> None:
        if self._file is not None and self._size + len(data) > MAX_FILE_BYTES:
            self.close()
            self._rotate()
        if self._file is None:
            self._open()
        assert self._file is not None
        self._size += os.write(self._file, data)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o640)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        """`x.log` becomes `x.log.1`, that one `x.log.2`; the oldest goes."""
        for number in range(KEPT_FILES - 1, 0, -1):
            older, newer = self._numbered(number), self._numbered(number - 1)
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path
