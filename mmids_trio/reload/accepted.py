"""A reload that was accepted, as its callers see it until its end."""

from collections.abc import Callable, Sequence

import trio
from attrs import define, field

from mmids_trio.config.live_settings import SettingsChange
from mmids_trio.state.recorder import Basis
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.plan import SetPlan
from mmids_trio.workflow.status import Outcome


@define(eq=False)
class Reload:
    """A configuration file that was read again and is on its way: all of it is put in place, or nothing.

    `warnings` say what of the file is ignored, and which changes over the API it overrules. `put_in_place` and `before`
    are for whoever carries it out.
    """

    change: Change[SetPlan]
    settings: SettingsChange
    warnings: Sequence[str]
    put_in_place: Sequence[Callable[[], None]]
    before: Basis
    _done: trio.Event = field(factory=trio.Event, init=False)
    _outcome: Outcome | None = field(default=None, init=False)

    @property
    def plan(self) -> SetPlan:
        """What changes."""
        return self.change.plan

    @property
    def applied_settings(self) -> Sequence[str]:
        """Settings that differ, and count once the change is put in place."""
        return self.settings.changed

    @property
    def needs_restart(self) -> Sequence[str]:
        """Settings that differ and count after a restart only."""
        return self.settings.needs_restart

    async def wait_outcome(self) -> Outcome:
        """Wait for the outcome; settings are changed then. Cancelling the wait does nothing to the reload."""
        await self._done.wait()
        assert self._outcome is not None
        return self._outcome

    def finish(self, outcome: Outcome) -> None:
        """Settle the outcome."""
        self._outcome = outcome
        self._done.set()
