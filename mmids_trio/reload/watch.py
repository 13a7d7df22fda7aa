"""Noticing that a file has changed, by looking at it every second.

A look costs some microseconds, needs no thread, ends at once when it is cancelled, and sees what notifications miss:
files on network file systems, and those that are replaced through links.  Of the libraries, watchfiles keeps a thread
in a call that a cancellation under trio does not end for seconds.
"""

import os
from collections.abc import Callable
from pathlib import Path

import trio

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
