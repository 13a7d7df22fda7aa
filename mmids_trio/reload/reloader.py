"""Reloads: the configuration file is read again and put in place as one transaction, or nothing changes.

A reload runs in a task of its own, one at a time; whoever asks for it, a signal or a client that may hang up, only
waits.  Requests for the same that come before the file is read share one reload.

Nothing goes off the air by accident: a reload is refused, and nothing changes, where it would disconnect more clients
than whoever asks allows, or stop all workflows with nothing in their place.  A file that says nothing on purpose has a
comment.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import time

import structlog
import trio
from attrs import define, evolve, field, frozen

from mmids_trio.config.live_settings import SettingsChange, compare
from mmids_trio.config.parser import is_empty_on_purpose
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import ClusterDefinition, WebhookDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reload.accepted import (
    Asker,
    LastReload,
    RefusedReload,
    Reload,
    ReloadOptions,
    ReloadPlan,
    ReloadResult,
)
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.state.history import ChangeHistory
from mmids_trio.state.record import MergedState, merge
from mmids_trio.state.recorder import ChangeRecorder
from mmids_trio.workflow.events import HubEvent, ReloadRefused
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.plan import SetConflict, SetPlan, WorkflowSet, leaves_nothing, stops_everything
from mmids_trio.workflow.status import Outcome, OutcomeKind, WorkflowOwner

log = structlog.get_logger()

Load = Callable[[], Awaitable[Configuration]]
"""Reads and checks the file; raises `MmidsError`."""

Prepare = Callable[[Settings], Awaitable[Callable[[], None]]]
"""Checks the new value of a setting, and returns what puts it in place; raises `MmidsError`."""


BY_API = ReloadOptions()


@define(eq=False)
class _Request:
    """Somebody who waits for a reload to be accepted, or refused."""

    options: ReloadOptions
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


@frozen
class _Wish:
    """What a file says, compared with what runs."""

    merged: MergedState
    wanted: WorkflowSet
    settings: SettingsChange
    warnings: tuple[str, ...]


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
    _publish: Callable[[HubEvent], None] = lambda _: None
    _now: Callable[[], float] = time
    patterns: Sequence[str] = ()
    """Absolute paths, and patterns of such, of all files that were read last, the configuration file first."""
    webhooks: Sequence[WebhookDefinition] = field(default=(), kw_only=True)
    """Those that the server runs with."""
    cluster: ClusterDefinition | None = field(default=None, kw_only=True)
    """The one that the server is in."""
    history: ChangeHistory = field(factory=ChangeHistory, kw_only=True)
    """Where its changes stand afterwards."""
    last: LastReload | None = field(default=None, init=False)
    """The one that ended last."""
    results: Counter[str] = field(factory=Counter, init=False)
    """How they ended."""
    _requests: list[_Request] = field(factory=list, init=False)
    _arrival: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry reloads out until cancelled."""
        task_status.started()
        while True:
            if not self._requests:
                await self._arrival.park()
            options = self._requests[0].options
            requests = [request for request in self._requests if request.options == options]
            self._requests = [request for request in self._requests if request.options != options]
            accepted, refused = await self._accept(options)
            for request in requests:
                request.answer(accepted, refused)
            if accepted is not None:
                await self._see_through(accepted)

    def request(self, by: Asker) -> None:
        """Ask for a reload that disconnects no more than the setting allows; log and events say how it ends."""
        self._ask(ReloadOptions(by, self.settings.reload_max_disconnects))

    async def reload(self, options: ReloadOptions = BY_API) -> Reload:
        """Ask for a reload; returns when what the file says is accepted and on its way.

        Raises `ConfigurationError` (or another `MmidsError`) for a file that cannot be used, `SetConflict` for one that
        cannot be put in place, and `RefusedReload`; then nothing was changed. Cancelling the wait does nothing to the
        reload.
        """
        return await self._ask(options).wait()

    async def plan(self, *, in_place: bool | None = None, show_keys: bool = False) -> ReloadPlan:
        """Read the file, and say what a reload would do now. Raises as `reload` does, but no `RefusedReload`."""
        wish = self._wish(await self.load(), in_place)
        plan = self._manager.plan_all(wish.wanted, show_keys=show_keys)
        settings = wish.settings
        return ReloadPlan(plan, settings.changed, settings.needs_restart, wish.warnings, wish.merged.kept_away)

    def _ask(self, options: ReloadOptions) -> _Request:
        request = _Request(options)
        self._requests.append(request)
        self._arrival.unpark_all()
        return request

    async def _accept(self, options: ReloadOptions) -> tuple[Reload | None, MmidsError | None]:
        try:
            configuration = await self.load()
            self.patterns = configuration.patterns or self.patterns
            return await self._apply(configuration, options), None
        except RefusedReload as error:
            self._note(options.by, "refused", str(error), error.plan)
            log.error("configuration not reloaded", problem=str(error), by=options.by)
            self._publish(ReloadRefused(options.by, str(error), error.plan.publishers, error.plan.watchers))
            return None, error
        except MmidsError as error:
            self._note(options.by, "failed", str(error))
            _tell_refusal(error)
            return None, error
        except Exception:
            log.exception("reload crashed")
            self._note(options.by, "failed", "internal error")
            return None, MmidsError("internal error while the file was read; the server's log has it")

    async def _apply(self, configuration: Configuration, options: ReloadOptions) -> Reload:
        """What the API changes from here on is a difference from the new file."""
        settings = self._compare(configuration)
        put_in_place = [await self._live[name](settings.running) for name in settings.changed]
        await self._manager.prepare(configuration.document.workflows, configuration.document.reactors)
        # From here to the acceptance nobody else has a turn.
        wish = self._wish(configuration, options.in_place)
        self._check(self._manager.plan_all(wish.wanted), configuration, options)
        after = {definition.name: definition for definition in wish.wanted.definitions}
        running = {name: self._manager.definition(name) for name in (*after, *wish.wanted.delete)}
        change = self._manager.apply_all(wish.wanted)
        who = options.who if options.by == "api" else options.by
        change.when_over(self.history.note(change.plan, running, after, by=who, via=options.by))
        document = configuration.document
        before = self._recorder.rebase(document.workflows, wish.merged, document.reactors)
        return Reload(change, options, settings, wish.warnings, put_in_place, before, wish.merged.kept_away)

    def _wish(self, configuration: Configuration, in_place: bool | None) -> _Wish:
        document = configuration.document
        merged = merge(document.workflows, self._recorder.state, document.reactors)
        return _Wish(
            merged,
            WorkflowSet(
                _to_apply(merged),
                self._removed(merged),
                merged.reactors,
                in_place=in_place,
                owner=WorkflowOwner("config", configuration.file),
            ),
            self._compare(configuration),
            (*(warning.summary for warning in document.warnings), *map(str, merged.dropped)),
        )

    def _compare(self, configuration: Configuration) -> SettingsChange:
        """What becomes of the settings; other webhooks, and another cluster, count after a restart."""
        change, document = compare(self.settings, configuration.settings), configuration.document
        others = {
            "webhook": document.webhooks != tuple(self.webhooks),
            "cluster": document.cluster != self.cluster,
        }
        needs_restart = tuple(name for name, is_another in others.items() if is_another)
        return evolve(change, needs_restart=(*change.needs_restart, *needs_restart))

    def _check(self, plan: SetPlan, configuration: Configuration, options: ReloadOptions) -> None:
        """Raises `RefusedReload`."""
        running = self._manager.prunable((), plan.owner)
        may_be_empty = options.allow_empty or is_empty_on_purpose(configuration.text)
        if leaves_nothing(plan, running) and not may_be_empty:
            why = stops_everything(len(running), plan.owner, "the file defines no workflow")
            raise RefusedReload(why, plan, "allow_empty")
        allowed, cut = options.max_disconnects, plan.publishers + plan.watchers
        if allowed is not None and cut > allowed:
            raise RefusedReload(
                f"this would disconnect {plan.publishers} publishers and {plan.watchers} watchers, and {allowed} are"
                " allowed; nothing was changed",
                plan,
                "max_disconnects",
            )

    def _note(self, by: Asker, result: ReloadResult, message: str, plan: SetPlan | None = None) -> None:
        self.last = LastReload(self._now(), by, result, message, plan)
        self.results[result] += 1

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
        is_changed = reload.plan.changed or bool(reload.applied_settings)
        result: ReloadResult = ("applied" if is_changed else "unchanged") if reload.change.is_in_place else "failed"
        self._note(reload.options.by, result, outcome.message, reload.plan)
        _tell(reload, outcome)
        reload.finish(outcome)

    def _removed(self, merged: MergedState) -> tuple[str, ...]:
        """The workflows of the file of before, changed over the API or not, that are not wanted any more.

        What a reactor, or a set of the API, has started under such a name since is not the file's.
        """
        gone = self._recorder.file_names - {workflow.name for workflow in merged.workflows}
        owners = {name: self._manager.owner(name) for name in sorted(gone)}
        return tuple(name for name, owner in owners.items() if owner is not None and owner.kind == "config")


def _to_apply(merged: MergedState) -> tuple[WorkflowDefinition, ...]:
    """What a set of the API has runs already."""
    return tuple(workflow for workflow in merged.workflows if workflow.name not in merged.sets)


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
    if reload.kept_away:
        log.info("workflows of the file stay away, as the API deleted them", workflows=list(reload.kept_away))
    log.info("configuration reloaded", changed=reload.plan.changed, settings=list(reload.applied_settings))
