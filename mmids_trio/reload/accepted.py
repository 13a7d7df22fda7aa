"""A reload as its callers see it: what they may ask for, what it would do, what came of it."""

from collections.abc import Callable, Sequence
from typing import Literal

import trio
from attrs import define, field, frozen

from mmids_trio.config.live_settings import SettingsChange
from mmids_trio.errors import MmidsError
from mmids_trio.state.recorder import Basis
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.plan import SetPlan
from mmids_trio.workflow.status import Outcome

Asker = Literal["signal", "watch", "api"]
"""Who asks for a reload: SIGHUP, the look at a file that is watched, or a client of the API."""

ReloadResult = Literal["applied", "unchanged", "refused", "failed"]
"""What came of a reload; `refused` by a guard, `failed` for a file that cannot be used or put in place."""


class RefusedReload(MmidsError):
    """A guard keeps what the file says from being put in place; nothing was changed. `guard`: what would permit it."""

    def __init__(self, message: str, plan: SetPlan, guard: Literal["max_disconnects", "allow_empty"]) -> None:
        super().__init__(message)
        self.plan, self.guard = plan, guard


@frozen
class ReloadOptions:
    """What is asked for. `max_disconnects`: clients that may be disconnected, `None` for any number.

    `allow_empty`: whether all workflows may be stopped with nothing in their place. `in_place`: see `WorkflowSet`.
    """

    by: Asker = "api"
    max_disconnects: int | None = None
    allow_empty: bool = False
    in_place: bool | None = None
    who: str = field(default="api", eq=False)
    """The name of the API's token; several who ask for the same share one reload."""


@frozen
class ReloadPlan:
    """What a reload would do. `warnings` say what of the file is ignored, and which changes over the API it overrules.

    Of the settings that differ, `applied_settings` count at once, `needs_restart` after a restart.
    """

    plan: SetPlan
    applied_settings: Sequence[str]
    needs_restart: Sequence[str]
    warnings: Sequence[str]
    kept_away: Sequence[str] = ()
    """Workflows of the file that do not run, as the API has deleted them."""


@frozen
class LastReload:
    """The reload that ended last. `time` in seconds since 1970 UTC; `plan` is `None` for a file that had none."""

    time: float
    by: Asker
    result: ReloadResult
    message: str
    plan: SetPlan | None


@define(eq=False)
class Reload:
    """A configuration file that was read again and is on its way: all of it is put in place, or nothing.

    `put_in_place` and `before` are for whoever carries it out.
    """

    change: Change[SetPlan]
    options: ReloadOptions
    settings: SettingsChange
    warnings: Sequence[str]
    put_in_place: Sequence[Callable[[], None]]
    before: Basis
    kept_away: Sequence[str] = ()
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
