"""Reloads: the configuration file is read again and put in place as one transaction, or nothing changes.

A reload runs in a task of its own, one at a time; whoever asks for it, a signal or a client that may hang up, only
waits.  Requests that come before the file is read share one reload.
"""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio.cli.configuration_file import Configuration
from mmids_trio.config.live_settings import SettingsChange, compare
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reload.result import ReloadResult
from mmids_trio.state.merge import Merged, merge
from mmids_trio.state.recorder import Recorder
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.sets import SetConflict, WorkflowSet
from mmids_trio.workflow.status import OutcomeKind, WorkflowOwner

log = structlog.get_logger()

Load = Callable[[], Awaitable[Configuration]]
"""Reads and checks the file; raises `MmidsError`."""

Prepare = Callable[[Settings], Awaitable[Callable[[], None]]]
"""Checks the new value of a setting, and returns what puts it in place; raises `MmidsError`."""


@define(eq=False)
class _Request:
    done: trio.Event = field(factory=trio.Event)
    result: ReloadResult = field(factory=ReloadResult)


@define(eq=False)
class Reloader:
    """Reloads with `load`. `live` has, by name, how each setting changes that can while the server runs."""

    settings: Settings
    """Those that the server runs with now."""
    _load: Load
    _manager: WorkflowManager
    _recorder: Recorder
    _live: Mapping[str, Prepare]
    _requests: list[_Request] = field(factory=list, init=False)
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry reloads out until cancelled."""
        task_status.started()
        while True:
            if not self._requests:
                await self._arrival.park()
            requests, self._requests = self._requests, []
            result = await self._reload()
            for request in requests:
                request.result = result
                request.done.set()

    def request(self) -> None:
        """Ask for a reload; the log says how it ends."""
        self._ask()

    async def reload(self) -> ReloadResult:
        """Ask for a reload and wait for its end. Cancelling the wait does nothing to the reload."""
        request = self._ask()
        await request.done.wait()
        return request.result

    def _ask(self) -> _Request:
        request = _Request()
        self._requests.append(request)
        self._arrival.unpark_all()
        return request

    async def _reload(self) -> ReloadResult:
        try:
            result = await self._carry_out(await self._load())
        except SetConflict as error:
            result = ReloadResult(error.problems)
        except ConfigurationError as error:
            result = ReloadResult(tuple(str(problem) for problem in error.problems))
        except MmidsError as error:
            result = ReloadResult((str(error),))
        except Exception:
            log.exception("reload crashed")
            result = ReloadResult(("internal error; the server's log has it",))
        _tell(result)
        return result

    async def _carry_out(self, configuration: Configuration) -> ReloadResult:
        settings = compare(self.settings, configuration.settings)
        put_in_place = [await self._live[name](settings.running) for name in settings.changed]
        result = await self._apply(configuration)
        if result.problems:
            return result
        for put in put_in_place:
            put()
        return self._with_settings(result, settings)

    def _with_settings(self, result: ReloadResult, settings: SettingsChange) -> ReloadResult:
        self.settings = settings.running
        return evolve(result, settings_changed=settings.changed, needs_restart=settings.needs_restart)

    async def _apply(self, configuration: Configuration) -> ReloadResult:
        """What the API changes from here on is a difference from the new file; where it is not put in place, from the
        old one again."""
        file = configuration.document.workflows
        merged = merge(file, self._recorder.state)
        wanted = WorkflowSet(_to_apply(merged), self._removed(merged), configuration.document.reactors)
        change = self._manager.apply_all(wanted, owner=WorkflowOwner("config", configuration.file))
        before = self._recorder.rebase(file, merged)
        outcome = await change.wait()
        if outcome.kind is not OutcomeKind.APPLIED:
            self._recorder.restore(before)
            return ReloadResult((outcome.message,))
        return ReloadResult(plan=change.plan, dropped=merged.dropped)

    def _removed(self, merged: Merged) -> tuple[str, ...]:
        """The workflows of the file of before, changed over the API or not, that are not wanted any more.

        What a reactor has started under such a name since is not the file's.
        """
        gone = self._recorder.file_names - {workflow.name for workflow in merged.workflows}
        owners = {name: self._manager.owner(name) for name in sorted(gone)}
        return tuple(name for name, owner in owners.items() if owner is not None and owner.kind != "reactor")


def _to_apply(merged: Merged) -> tuple[WorkflowDefinition, ...]:
    """What the API has made runs already; the file says nothing of it."""
    return tuple(workflow for workflow in merged.workflows if workflow.name not in merged.made_by_api)


def _tell(result: ReloadResult) -> None:
    if result.problems:
        for problem in result.problems:
            log.error("configuration not reloaded", problem=problem)
        return
    for drop in result.dropped:
        log.warning("a change over the API is dropped", workflow=drop.workflow, reason=drop.reason)
    if result.needs_restart:
        log.warning("settings need a restart", settings=list(result.needs_restart))
    log.info("configuration reloaded", changed=result.changed, settings=list(result.settings_changed))
