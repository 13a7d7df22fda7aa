"""What children leave on the disk when their streams have ended: kept for a while, then deleted, oldest first.

A publisher chooses new keys as it likes, and each leaves a playlist, segments and the log of a child.  Only files are
deleted whose names this server has its children write, that were written since a stream of that name began here, and
that nobody has written again since it ended; never those of a stream that is live.

What has begun is noted in a file beside the logs of children, so that a server that was killed knows at its next start
what it had left.  All work on the disk is done by one task.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from math import inf
from pathlib import Path
from time import time

import structlog
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.ffmpeg.file_names import file_stem, stem_of_segment
from mmids_trio.offload import Offload, in_thread

KEEP_SECONDS = 3600
"""Unless `ended_files_keep` says otherwise: long enough for players that are behind, and for a look at a log."""

MAX_FILES = 10_000
"""That are kept; a directory of more is slow to look through."""

JOURNAL = "ended-files.jsonl"
"""In the folder of the children's logs."""

MAX_JOURNAL_BYTES = 16 * 1024 * 1024
"""That are read at the start; some 100,000 streams."""

JOURNAL_SLACK = 1000
"""Lines of what is gone that the file may have, beside as many as of what is there, before it is written anew."""

CLOCK_SLACK_SECONDS = 0.1
"""File systems stamp files with the time of the last tick of a clock."""

_LOG = re.compile(r"(.+\.log)(?:\.\d+)?")

log = structlog.get_logger()


class FileKind(Enum):
    """What the files of a stream are; the value is its name to the outside."""

    HLS = "hls"
    LOG = "log"


@frozen
class Trace:
    """The files of one stream: `name` is the stem of its HLS files, or the name of its log."""

    kind: FileKind
    directory: str
    name: str


@frozen
class _File:
    """One file as it was when its stream had ended; written again, it is another."""

    name: str
    device: int
    inode: int
    modified_ns: int


@frozen
class _Ended:
    """What a stream has left."""

    since: float
    """When the first stream of the name began, in seconds since the epoch."""
    ended_at: float
    """On trio's clock."""
    files: tuple[_File, ...] | None = None
    """`None`: not looked for yet."""


def name_in(kind: FileKind, file_name: str) -> str | None:
    """Which `Trace.name` a file belongs to, if any."""
    if kind is FileKind.LOG:
        found = _LOG.fullmatch(file_name)
    else:
        plain = file_name.removesuffix(".tmp")
        if plain.endswith(".m3u8"):
            return plain.removesuffix(".m3u8") or None
        return stem_of_segment(plain)
    return found[1] if found else None


def log_trace(path: Path) -> Trace:
    """Of the log of one child."""
    return Trace(FileKind.LOG, os.path.abspath(path.parent), path.name)


def hls_trace(directory: str, stream_name: str) -> Trace:
    """Of a stream's playlist and segments."""
    return Trace(FileKind.HLS, os.path.realpath(directory), file_stem(stream_name))


@define(eq=False)
class EndedFiles:
    """Of one server. `begin` and `end` never wait; `run` does the rest."""

    folder: Path | None
    """For the journal; `None`: none is kept, and what a server that was killed had left stays."""
    keep_seconds: float = KEEP_SECONDS
    """0: for ever."""
    max_files: int = MAX_FILES
    offload: Offload = in_thread
    now: Callable[[], float] = time
    """By the clock that files are stamped with."""
    deleted: Counter[FileKind] = field(factory=lambda: Counter(dict.fromkeys(FileKind, 0)), init=False)
    _live: dict[Trace, tuple[int, float]] = field(factory=dict, init=False)
    """How many write there now, and since when the files are ours."""
    _ended: dict[Trace, _Ended] = field(factory=dict, init=False)
    """Oldest end first."""
    _unnoted: list[tuple[Trace, float]] = field(factory=list, init=False)
    _noted: int = field(default=0, init=False)
    """Lines of the journal."""
    _wakeup: trio.Event = field(factory=trio.Event, init=False)

    @property
    def kept(self) -> int:
        """Files of ended streams that are there still."""
        return sum(len(ended.files or ()) for ended in self._ended.values())

    @contextmanager
    def writing(self, trace: Trace) -> Iterator[None]:
        """`begin` and `end`."""
        self.begin(trace)
        try:
            yield
        finally:
            self.end(trace)

    def begin(self, trace: Trace) -> None:
        """A stream is about to write there. What one before it has left is part of it from now on."""
        count, since = self._live.get(trace, (0, self.now()))
        if earlier := self._ended.pop(trace, None):
            since = min(since, earlier.since)
        elif not count and self.keep_seconds:
            self._unnoted.append((trace, since))
            self._wakeup.set()
        self._live[trace] = count + 1, since

    def end(self, trace: Trace) -> None:
        """It writes no more."""
        count, since = self._live.pop(trace)
        if count > 1:
            self._live[trace] = count - 1, since
        elif self.keep_seconds:
            self._ended[trace] = _Ended(since, trio.current_time())
            self._wakeup.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ready at once: a slow disk holds up no workflow."""
        task_status.started()
        if not self.keep_seconds:
            await trio.sleep_forever()
        journal = None if self.folder is None else self.folder / JOURNAL
        if journal is not None:
            self._recall(await self.offload(lambda: _read_journal(journal)))
        while True:
            self._wakeup = trio.Event()
            if journal is None:
                self._unnoted.clear()
            else:
                await self._write_journal(journal)
            await self._look()
            await self._delete()
            with trio.move_on_at(self._next_at()):
                await self._wakeup.wait()

    def _recall(self, noted: Sequence[tuple[Trace, float]]) -> None:
        """What the server's last life has left has ended now, but for what is written again already."""
        self._noted += len(noted)
        for trace, since in noted:
            if live := self._live.get(trace):
                self._live[trace] = live[0], min(live[1], since)
            elif ended := self._ended.get(trace):
                self._ended[trace] = evolve(ended, since=min(ended.since, since))
            else:
                self._ended[trace] = _Ended(since, trio.current_time())

    def _next_at(self) -> float:
        first = next(iter(self._ended.values()), None)
        return inf if first is None else first.ended_at + self.keep_seconds

    async def _look(self) -> None:
        """Find the files of streams that have ended; each directory is read once for all of them."""
        wanted = {trace: ended for trace, ended in self._ended.items() if ended.files is None}
        if not wanted:
            return
        since = {trace: ended.since for trace, ended in wanted.items()}
        found = await self.offload(lambda: _find(since))
        for trace, ended in wanted.items():
            if self._ended.get(trace) is ended:  # nobody writes there again
                if files := found.get(trace):
                    self._ended[trace] = evolve(ended, files=tuple(files))
                else:
                    del self._ended[trace]

    async def _delete(self) -> None:
        """Oldest first: what is overdue, and what is too much."""
        kept = self.kept
        for trace, ended in list(self._ended.items()):
            is_due = trio.current_time() >= ended.ended_at + self.keep_seconds
            if ended.files is None or not (is_due or kept > self.max_files):
                return
            if self._ended.get(trace) is not ended:
                continue  # it has begun again meanwhile
            del self._ended[trace]
            kept -= len(ended.files)
            self.deleted[trace.kind] += await self.offload(lambda t=trace, e=ended: _unlink(t, e.files or ()))  # type: ignore[misc]

    async def _write_journal(self, journal: Path) -> None:
        new, self._unnoted = self._unnoted, []
        known = len(self._live) + len(self._ended)
        if self._noted + len(new) > 2 * known + JOURNAL_SLACK:
            since = {trace: ended.since for trace, ended in self._ended.items()}
            lines = [*since.items(), *((trace, since) for trace, (_, since) in self._live.items())]
            self._noted = len(lines)
            await self.offload(lambda: _put_journal(journal, lines, is_new=True))
        elif new:
            self._noted += len(new)
            await self.offload(lambda: _put_journal(journal, new, is_new=False))


# What blocks; it touches nothing of the object's.


def _find(since: Mapping[Trace, float]) -> Mapping[Trace, Sequence[_File]]:
    found: dict[Trace, list[_File]] = {}
    for kind, directory in {(trace.kind, trace.directory) for trace in since}:
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                name = name_in(kind, entry.name)
                trace = None if name is None else Trace(kind, directory, name)
                if trace is not None and trace in since and (file := _file_of(entry, since[trace])):
                    found.setdefault(trace, []).append(file)
    return found


def _file_of(entry: os.DirEntry[str], since: float) -> _File | None:
    """A plain file that was written since then."""
    with suppress(OSError):
        status = entry.stat(follow_symlinks=False)
        if entry.is_file(follow_symlinks=False) and status.st_mtime >= since - CLOCK_SLACK_SECONDS:
            return _File(entry.name, status.st_dev, status.st_ino, status.st_mtime_ns)
    return None


def _unlink(trace: Trace, files: Iterable[_File]) -> int:
    """How many were deleted."""
    count, reason = 0, None
    for file in files:
        path = f"{trace.directory}/{file.name}"
        try:
            status = os.stat(path, follow_symlinks=False)
            if (status.st_dev, status.st_ino, status.st_mtime_ns) == (file.device, file.inode, file.modified_ns):
                os.unlink(path)
                count += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = error.strerror
    if reason is not None:
        log.warning("files of an ended stream cannot be deleted", directory=trace.directory, reason=reason)
    return count


def _read_journal(path: Path) -> Sequence[tuple[Trace, float]]:
    """What it notes, as far as it can be read: a kill may have cut its last line."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_JOURNAL_BYTES).splitlines()
    except OSError:
        return []
    noted: dict[Trace, float] = {}
    for line in lines:
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            trace = Trace(FileKind(said["kind"]), str(said["directory"]), str(said["name"]))
            noted[trace] = float(said["since"])  # what was before that line is gone
    return list(noted.items())


def _put_journal(path: Path, lines: Iterable[tuple[Trace, float]], *, is_new: bool) -> None:
    text = "".join(
        json.dumps({"kind": trace.kind.value, "directory": trace.directory, "name": trace.name, "since": since}) + "\n"
        for trace, since in lines
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.with_name(f"{path.name}.new") if is_new else path
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if is_new else os.O_APPEND), 0o640)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if is_new:
            target.replace(path)
    except OSError as error:
        log.warning("what children leave cannot be noted", path=str(path), reason=error.strerror)
