"""How a reload ended, as plain data: for the log, the API and the exit status of a client."""

from attrs import frozen

from mmids_trio.state.merge import Dropped
from mmids_trio.workflow.sets import SetPlan


@frozen
class ReloadResult:
    """With `problems`, nothing was changed. `settings_changed` and `needs_restart` are names of settings.

    `dropped` are changes over the API that the file has overruled.
    """

    problems: tuple[str, ...] = ()
    plan: SetPlan | None = None
    settings_changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything has changed."""
        return bool(self.settings_changed) or (self.plan is not None and self.plan.changed)
