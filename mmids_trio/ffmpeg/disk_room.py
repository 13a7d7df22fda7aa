"""Whether there is room on the disk for what children write: they are paused before it is full.

A full disk would take the log, the state file and other programs down with it.  It is looked at as media come, so that
it costs nothing where none do; a look takes microseconds.
"""

import os
from collections.abc import Callable
from math import inf

import structlog
import trio
from attrs import define, field

from mmids_trio.ffmpeg.hold import Hold

LOOK_SECONDS = 5.0
"""Between two looks; at 200 MB a second, more than any stream, the default of 1 GiB lasts for as long."""

RESUME_ABOVE = 1.1
"""Times the least that there has to be before children go on, lest they stop and start at the brim."""

log = structlog.get_logger()


def free_bytes(directory: str) -> int:
    """What an ordinary user can still write there. Raises `OSError`."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


@define(eq=False, kw_only=True)
class DiskRoom:
    """Of one directory."""

    directory: str
    least: int
    """Bytes that stay free; 0: it is never looked at."""
    free_bytes: Callable[[str], int]
    on_change: Callable[[int], None]
    """Called with the free bytes when writing pauses (`hold.reason` says why) and when it goes on (it is `None`)."""
    hold: Hold = field(factory=Hold, init=False)
    _looked_at: float = field(default=-inf, init=False)

    def look(self) -> None:
        """Look at the disk, unless that was done just now."""
        now = trio.current_time()
        if not self.least or now < self._looked_at + LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            free = self.free_bytes(self.directory)
        except OSError as error:  # somebody has removed it, say: children tell what is wrong with it
            log.debug("the disk cannot be looked at", directory=self.directory, reason=error.strerror)
            return
        if self.hold.reason is None and free < self.least:
            self.hold.set(f"paused: {free} bytes are free below '{self.directory}', at least {self.least} are to stay")
            self.on_change(free)
        elif self.hold.reason is not None and free >= RESUME_ABOVE * self.least:
            self.hold.release()
            self.on_change(free)
