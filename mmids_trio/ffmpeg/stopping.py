"""The orderly end of a child: asked, then told, then killed, and awaited, all within five seconds.

Apart because the times are a promise to operators: this is how long an update of a workflow can take.
"""

import signal
from enum import Enum

import trio
from attrs import define, field

from mmids_trio.ffmpeg.process import Process

TERMINATE_AFTER_SECONDS = 3.0
"""From being asked to SIGTERM. ffmpeg needs some milliseconds to finish a playlist or a file, a slow disk longer."""

KILL_AFTER_SECONDS = 4.0
"""From being asked to SIGKILL."""

STOP_SECONDS = 5.0
"""From being asked until nobody waits any longer; a process that SIGKILL does not end hangs in the kernel.

That one is reaped when the next child is started: `subprocess` looks at those that it was not told the end of."""


class StopBy(Enum):
    """How a child is asked to finish what it writes and end."""

    END_OF_INPUT = "end of input"
    """For children that are fed: whatever they were given before still gets through."""
    INTERRUPT = "SIGINT"
    """For children that read from elsewhere."""


@define(eq=False)
class Stop:
    """The end of one child. Its outputs must be read meanwhile, since a child that cannot write does not end."""

    process: Process
    by: StopBy
    _asked_at: float | None = field(default=None, init=False)

    def ask(self) -> float:
        """Ask, if that has not been done; the time of it on trio's clock."""
        if self._asked_at is None:
            self._asked_at = trio.current_time()
            if self.process.stdin is not None:
                self.process.stdin.close()
            if self.by is StopBy.INTERRUPT:
                self.process.send_signal(signal.SIGINT)
        return self._asked_at

    async def wait(self) -> int | None:
        """Ask, go on to stronger means as time passes, and return the exit status; `None` if SIGKILL does not end it.

        Shielded, with a deadline for each means. Where the event loop was held up meanwhile, all that is due is sent
        at once, and SIGKILL still gets its second: no child is left running, and none that has ended is left unreaped.
        """
        asked_at = self.ask()
        for patience, stronger in (
            (TERMINATE_AFTER_SECONDS, signal.SIGTERM),
            (KILL_AFTER_SECONDS, signal.SIGKILL),
        ):
            with trio.move_on_at(asked_at + patience, shield=True):
                return await self.process.wait()
            self.process.send_signal(stronger)
        with trio.move_on_after(STOP_SECONDS - KILL_AFTER_SECONDS, shield=True):
            return await self.process.wait()
        return self.process.poll()
