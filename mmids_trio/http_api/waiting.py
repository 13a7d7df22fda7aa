"""How a request waits for the end of a change: for so long, and without any effect on the change."""

import trio

from mmids_trio.http_api.control import Accepted
from mmids_trio.workflow.status import Outcome

LEAST_PATIENCE_SECONDS = 0.05
"""What `wait=0` waits: long enough to see that a change has nothing to wait for."""


async def wait_for(change: Accepted, seconds: float) -> Outcome | None:
    """The outcome, or `None` where there is none yet after so long."""
    with trio.move_on_after(max(seconds, LEAST_PATIENCE_SECONDS)):
        return await change.wait_outcome()
    return None
