"""Keeping the history of changes beside the state: a line of JSON for each change, and one more for its end.

Lines are added, and the file is written anew where it has become twice as large as what is kept.  A crash costs the
last line at most: a line that is no record is passed over.  Nobody waits for the disk, as nothing is decided by it.
"""

import json
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio
from attrs import asdict, define, field

from mmids_trio.offload import Offload, in_thread
from mmids_trio.state.file import MAX_FILE_BYTES, MODE, StateError, StateFile
from mmids_trio.state.history import MOST_BYTES, MOST_CHANGES, ChangedWorkflow, ChangeHistory, ChangeRecord, KeptChange

log = structlog.get_logger()

SUFFIX = ".changes"
"""Of the file, behind the name of the state file."""

ANEW_FROM = 4 * MOST_BYTES
"""Bytes of the file from which on it is written anew: well more than what is kept may be."""

MAX_WAITING = 2 * MOST_CHANGES
"""Records that wait for a slow disk; of more the oldest are not written."""

FLUSH_SECONDS = 1.0
"""What the end of a server may take for the last ones."""


@define(eq=False)
class HistoryFile:
    """The file at `path`, of `history`; `run` writes what that says."""

    path: Path
    history: ChangeHistory
    _offload: Offload = in_thread
    _waiting: list[ChangeRecord] = field(factory=list, init=False)
    _is_writing: bool = field(default=False, init=False)
    _is_failing: bool = field(default=False, init=False)
    _work: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)
    _written: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @classmethod
    def beside(cls, state: Path, history: ChangeHistory, offload: Offload) -> "HistoryFile":
        """That of the state file at this path, which from now on has what happens."""
        file = cls(state.with_name(state.name + SUFFIX), history, offload)
        history.keep = file.add
        return file

    def add(self, record: ChangeRecord) -> None:
        """Have this written; returns at once."""
        self._waiting.append(record)
        del self._waiting[:-MAX_WAITING]
        self._work.unpark_all()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read what was kept, then write until cancelled."""
        try:
            self.history.load(await self._offload(partial(_read, self.path)))
            await self._offload(partial(_write_anew, self.path, self.history.all()))
        except (OSError, StateError) as error:
            self._complain(error)
        task_status.started()
        while True:
            if not self._waiting:
                await self._work.park()
            records, self._waiting = self._waiting, []
            self._is_writing = True
            try:
                await self._offload(partial(_append, self.path, records, self.history.all()))
                self._is_failing = False
            except (OSError, StateError) as error:
                self._complain(error)
            finally:
                self._is_writing = False
                self._written.unpark_all()

    async def flush(self) -> None:
        """Wait until all is on the disk, not for long."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(FLUSH_SECONDS):
            while self._waiting or self._is_writing:
                await self._written.park()

    def _complain(self, error: Exception) -> None:
        """Once for all that fail in a row: the changes themselves are made, and kept in memory."""
        if not self._is_failing:
            log.error("the history of changes cannot be kept", path=str(self.path), reason=str(error))
        self._is_failing = True


def _line(record: ChangeRecord) -> bytes:
    return json.dumps(asdict(record), separators=(",", ":")).encode() + b"\n"


def _append(path: Path, records: Sequence[ChangeRecord], everything: Sequence[KeptChange]) -> None:
    """Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
    with open(descriptor, "ab") as file:
        file.writelines(map(_line, records))
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    if size > ANEW_FROM:
        _write_anew(path, everything)


def _write_anew(path: Path, changes: Iterable[KeptChange]) -> None:
    lines = b"".join(_line(kept.record) for kept in changes)
    if lines:
        StateFile(path).replace(lines)


def _read(path: Path) -> list[ChangeRecord]:
    """What the file has; of two about one change the later counts. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + ANEW_FROM)
    except FileNotFoundError:
        return []
    records: dict[str, ChangeRecord] = {}
    for line in content.split(b"\n"):
        if (record := _record(line)) is not None:
            records[record.id] = record
    return sorted(records.values(), key=lambda record: int(record.id))


_TEXTS = ("id", "time", "by", "via", "outcome", "message", "before", "after")
_NUMBERS = ("more_workflows", "publishers", "watchers")


def _record(line: bytes) -> ChangeRecord | None:
    """What a line says; `None` for one that nobody here has written whole."""
    try:
        entry: dict[str, Any] = json.loads(line)
        workflows = tuple(ChangedWorkflow(**each) for each in entry.pop("workflows"))
        reactors = tuple(map(str, entry.pop("reactors")))
        if not entry["id"].isdecimal() or not all(isinstance(entry[name], str) for name in _TEXTS):
            return None
        if not all(isinstance(entry[name], int) for name in _NUMBERS):
            return None
        return ChangeRecord(workflows=workflows, reactors=reactors, **entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
