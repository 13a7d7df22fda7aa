"""Noticing that a file, or one of those that belong to it, has changed, by looking at them every second.

A look costs some microseconds, needs no thread, ends at once when it is cancelled, and sees what notifications miss:
files on network file systems, and those that are replaced through links.  Of the libraries, watchfiles keeps a thread
in a call that a cancellation under trio does not end for seconds.
"""

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import trio
from attrs import define, field

from mmids_trio.reload.source_files import matches

LOOK_SECONDS = 1.0
"""Between two looks. A change counts when a second look finds it the same, so that no half-written file is read."""

Look = Callable[[], object]
"""What a file looks like from outside; anything that compares."""


def look_at(path: Path) -> Look:
    """Looks at which file it is, how long, and when it was written; `None` where there is none."""

    def look() -> object:
        try:
            status = os.stat(path)
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    return look


@define(eq=False)
class Looks:
    """What several files look like: those of the `patterns` at the moment, of which the first is the main one.

    Patterns that come later are looked at from then on, which is no change.
    """

    _patterns: Callable[[], Sequence[str]]
    _before: dict[str, object] = field(factory=dict, init=False)
    _changes: int = field(default=0, init=False)

    def look(self) -> object:
        """How many changes there were; `None` while the main file is not there."""
        now = {pattern: look_at_pattern(pattern) for pattern in self._patterns()}
        if any(self._before.get(pattern, looks) != looks for pattern, looks in now.items()):
            self._changes += 1
        self._before = now
        return self._changes if next(iter(now.values())) else None


def look_at_pattern(pattern: str) -> object:
    """What all files of a pattern look like, with their names; nothing where there is none."""
    paths = matches(pattern) if glob.has_magic(pattern) else [pattern]
    return [(path, looks) for path in paths if (looks := look_at(Path(path))()) is not None]


async def watch(
    look: Look, on_change: Callable[[], object], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Call `on_change` after each change, until cancelled. A file that has gone is none: it may be on its way back."""
    known = seen = look()
    task_status.started()
    while True:
        await trio.sleep(LOOK_SECONDS)
        before, seen = seen, look()
        if seen is not None and seen == before and seen != known:
            known = seen
            on_change()
