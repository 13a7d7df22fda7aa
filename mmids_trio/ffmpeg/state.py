"""How a supervised child is doing, as plain data; who shows it reads it whenever it likes.

Apart so that the supervisor and the feed can both count here without knowing each other.
"""

from enum import Enum

from attrs import define


class ChildPhase(Enum):
    """Where a child is in its life."""

    WAITING = "waiting"
    PAUSED = "paused"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"


@define(eq=False)
class ChildState:
    """One child over all its restarts."""

    phase: ChildPhase = ChildPhase.STARTING
    pid: int | None = None
    """Process id while it runs."""
    starts: int = 0
    """Attempts included that failed."""
    successions: int = 0
    """Starts that were no failure of the child before: the stream had changed to what only another one can take."""
    message: str | None = None
    """Why it ended last time, and below that its last lines, or what it waits for; `None` when it has not ended, or is
    healthy again."""
    is_finished: bool = False
    """Whether all was done that there was to do; no child is started any more."""
    dropped_groups: int = 0
    """Groups of pictures that it has missed, wholly or in part, since it did not keep up."""

    left_out_lines: int = 0
    """Lines of its standard error that are not in its log, since they were too many."""

    def count_left_out(self, lines: int) -> None:
        """So many more lines were left out."""
        self.left_out_lines += lines

    @property
    def restarts(self) -> int:
        """Starts after the first one, because the child before had ended unasked."""
        return max(0, self.starts - 1 - self.successions)
