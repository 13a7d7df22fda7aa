"""A change to a workflow, from its acceptance to its outcome, as its callers see it."""

import trio
from attrs import define, field

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import MmidsError
from mmids_trio.workflow.status import Outcome, OutcomeKind, PlanView


class Stopping(MmidsError):
    """The server is being stopped and takes no changes any more."""


@define(eq=False)
class Change:
    """One accepted change. It belongs to the workflow's task; callers only watch it."""

    definition: WorkflowDefinition
    plan: PlanView
    rollback: bool = False
    is_superseded: bool = field(default=False, init=False)
    """Whether a newer one has come while its new steps were being started."""
    _done: trio.Event = field(factory=trio.Event, init=False)
    _outcome: Outcome | None = field(default=None, init=False)

    async def wait(self) -> Outcome:
        """Wait for the outcome. Cancelling the wait does nothing to the change."""
        await self._done.wait()
        assert self._outcome is not None
        return self._outcome

    def finish(self, kind: OutcomeKind, message: str) -> None:
        """Settle the outcome; the first one counts."""
        if self._outcome is None:
            self._outcome = Outcome(kind, message)
            self._done.set()
