"""How a request waits for the end of a change: for so long, and without any effect on the change."""

from typing import Protocol

import trio

from mmids_trio.workflow.status import Outcome

LEAST_PATIENCE_SECONDS = 0.05
"""What `wait=0` waits: long enough to see that a change has nothing to wait for."""


class Awaited(Protocol):
    """Anything with an outcome."""

    async def wait(self) -> Outcome:
        """Wait for the outcome. Cancelling the wait has no effect."""


async def wait_for(change: Awaited, seconds: float) -> Outcome | None:
    """The outcome, or `None` where there is none yet after so long."""
    with trio.move_on_after(max(seconds, LEAST_PATIENCE_SECONDS)):
        return await change.wait()
    return None
