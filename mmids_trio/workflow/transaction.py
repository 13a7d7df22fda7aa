"""A set of workflows changed at once."""

import trio
from attrs import define, field

from mmids_trio.workflow.sets import SetPlan
from mmids_trio.workflow.status import Outcome, OutcomeKind


@define(eq=False)
class SetChange:
    """One accepted set. It belongs to the workflows' tasks; callers only watch it."""

    plan: SetPlan
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
