"""What the outside may know of reactors and their leases, as plain data."""

from collections.abc import Callable

from attrs import frozen

from mmids_trio.stream_request import Action
from mmids_trio.workflow.events import ReactorAnswered


@frozen
class LeaseView:
    """One held lease. `action`: whether it is for publishing or for watching.

    `valid` is `None` before the first answer.  `workflows` are those that the last good answer calls for.
    `last_error` is why the latest try failed, `None` after a good one; `failures` counts
    the requests (of up to three tries each) that failed since the lease began.  `next_update` is in seconds from
    now, `None` while the executor runs and where there is no update interval.
    """

    stream: str
    action: Action
    holders: int
    valid: bool | None
    workflows: tuple[str, ...]
    last_answer: str | None
    last_error: str | None
    failures: int
    next_update: float | None


@frozen
class ReactorView:
    """One reactor, with its leases in the order in which they began. `update_interval` is in seconds, 0 for none.

    `set`: the set of the API's that it belongs to, where that is not the default one.
    """

    name: str
    executor: str
    update_interval: int
    leases: tuple[LeaseView, ...]
    set: str | None = None


Listener = Callable[[ReactorAnswered], None]
"""Called at once, in the lease's task: it must neither block nor raise."""


def nobody(_event: ReactorAnswered) -> None:
    """The listener where nobody listens."""
