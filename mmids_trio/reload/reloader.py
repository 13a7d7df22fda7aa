"""Reloads: the configuration file is read again and put in place as one transaction, or nothing changes.

A reload runs in a task of its own, one at a time; whoever asks for it, a signal or a client that may hang up, only
waits.  Requests that come before the file is read share one reload.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio
from attrs import define, field

from mmids_trio.config.live_settings import compare
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reload.accepted import Reload
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.state.record import MergedState, merge
from mmids_trio.state.recorder import ChangeRecorder
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetConflict, WorkflowSet
from mmids_trio.workflow.status import Outcome, OutcomeKind, WorkflowOwner

log = structlog.get_logger()

Load = Callable[[], Awaitable[Configuration]]
"""Reads and checks the file; raises `MmidsError`."""

Prepare = Callable[[Settings], Awaitable[Callable[[], None]]]
"""Checks the new value of a setting, and returns what puts it in place; raises `MmidsError`."""


@define(eq=False)
class _Request:
    """Somebody who waits for a reload to be accepted, or refused."""

    _done: trio.Event = field(factory=trio.Event, init=False)
    _accepted: Reload | None = field(default=None, init=False)
    _refused: MmidsError | None = field(default=None, init=False)

    def answer(self, accepted: Reload | None, refused: MmidsError | None = None) -> None:
        self._accepted, self._refused = accepted, refused
        self._done.set()

    async def wait(self) -> Reload:
        await self._done.wait()
        if self._refused is not None:
            raise self._refused
        assert self._accepted is not None
        return self._accepted


@define(eq=False)
class Reloader:
    """Reloads with `load`. `live` has, by name, how each setting changes that can while the server runs.

    `renew_certificates` reads the files that the settings name: what is asked for may be that they have changed.
    """

    settings: Settings
    """Those that the server runs with now."""
    load: Load
    _manager: WorkflowManager
    _recorder: ChangeRecorder
    _live: Mapping[str, Prepare]
    _renew_certificates: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
    _requests: list[_Request] = field(factory=list, init=False)
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry reloads out until cancelled."""
        task_status.started()
        while True:
            if not self._requests:
                await self._arrival.park()
            requests, self._requests = self._requests, []
            accepted, refused = await self._accept()
            for request in requests:
                request.answer(accepted, refused)
            if accepted is not None:
                await self._see_through(accepted)

    def request(self) -> None:
        """Ask for a reload; the log says how it ends."""
        self._ask()

    async def reload(self) -> Reload:
        """Ask for a reload; returns when what the file says is accepted and on its way.

        Raises `ConfigurationError` (or another `MmidsError`) for a file that cannot be used, and `SetConflict` for one
        that cannot be put in place; then nothing was changed. Cancelling the wait does nothing to the reload.
        """
        return await self._ask().wait()

    def _ask(self) -> _Request:
        request = _Request()
        self._requests.append(request)
        self._arrival.unpark_all()
        return request

    async def _accept(self) -> tuple[Reload | None, MmidsError | None]:
        try:
            return await self._apply(await self.load()), None
        except MmidsError as error:
            _tell_refusal(error)
            return None, error
        except Exception:
            log.exception("reload crashed")
            return None, MmidsError("internal error while the file was read; the server's log has it")

    async def _apply(self, configuration: Configuration) -> Reload:
        """What the API changes from here on is a difference from the new file."""
        settings = compare(self.settings, configuration.settings)
        put_in_place = [await self._live[name](settings.running) for name in settings.changed]
        file, reactors = configuration.document.workflows, configuration.document.reactors
        merged = merge(file, self._recorder.state, reactors)
        wanted = WorkflowSet(_to_apply(merged), self._removed(merged), merged.reactors)
        change = self._manager.apply_all(wanted, owner=WorkflowOwner("config", configuration.file))
        warnings = [warning.summary for warning in configuration.document.warnings]
        return Reload(
            change,
            settings,
            (*warnings, *map(str, merged.dropped)),
            put_in_place,
            self._recorder.rebase(file, merged, reactors),
        )

    async def _see_through(self, reload: Reload) -> None:
        """To the end: where the change is not put in place, the old file counts again.

        Not at the end of the server, though: the next start goes by the file as it is now.
        """
        outcome = await reload.change.wait_outcome()
        if reload.change.is_in_place:
            for put in reload.put_in_place:
                put()
            self.settings = reload.settings.running
            await self._renew_certificates()
        elif not self._manager.is_stopping:
            self._recorder.restore(reload.before)
        _tell(reload, outcome)
        reload.finish(outcome)

    def _removed(self, merged: MergedState) -> tuple[str, ...]:
        """The workflows of the file of before, changed over the API or not, that are not wanted any more.

        What a reactor has started under such a name since is not the file's.
        """
        gone = self._recorder.file_names - {workflow.name for workflow in merged.workflows}
        owners = {name: self._manager.owner(name) for name in sorted(gone)}
        return tuple(name for name, owner in owners.items() if owner is not None and owner.kind != "reactor")


def _to_apply(merged: MergedState) -> tuple[WorkflowDefinition, ...]:
    """What the API has made runs already; the file says nothing of it."""
    return tuple(workflow for workflow in merged.workflows if workflow.name not in merged.made_by_api)


def _tell_refusal(error: MmidsError) -> None:
    if isinstance(error, ConfigurationError):
        problems = [problem.summary for problem in error.problems]
    else:
        problems = list(error.problems) if isinstance(error, SetConflict) else [str(error)]
    for problem in problems:
        log.error("configuration not reloaded", problem=problem)


def _tell(reload: Reload, outcome: Outcome) -> None:
    for warning in reload.warnings:
        log.warning("configuration", problem=warning)
    if not reload.change.is_in_place:
        log.error("configuration not reloaded", problem=outcome.message)
        return
    if outcome.kind is not OutcomeKind.APPLIED:
        log.error("configuration reloaded, but something has failed", problem=outcome.message)
    if reload.needs_restart:
        log.warning("settings need a restart", settings=list(reload.needs_restart))
    log.info("configuration reloaded", changed=reload.plan.changed, settings=list(reload.applied_settings))
