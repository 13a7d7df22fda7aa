"""A whole server at work: its parts are started one after another in one nursery, and end with it.

`server.building` puts the parts together; here is only when each of them begins and ends.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio
from attrs import define, evolve, field

from mmids_trio import __version__
from mmids_trio.cluster.revisions import FLEET
from mmids_trio.config.settings import Settings, host_from_here
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.delivery.server import MediaServer
from mmids_trio.errors import MmidsError, StepError
from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.guards.guards import Guards
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.listening import bind, port_of
from mmids_trio.http_api.token_file import TokenFile
from mmids_trio.late import late
from mmids_trio.media_memory import MediaMemory
from mmids_trio.net.certificates import Certificates
from mmids_trio.on_air.directory import OnAir
from mmids_trio.reactors.executor import ExecutorRegistry
from mmids_trio.reactors.registry import Reactors
from mmids_trio.rejections import RejectCounters
from mmids_trio.reload.reloader import Reloader
from mmids_trio.reload.watch import Looks, watch
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.server.draining import Draining
from mmids_trio.server.logs import Logging
from mmids_trio.server.metrics import ServerMetrics
from mmids_trio.state.bans import KeptBans
from mmids_trio.state.file import StateFile
from mmids_trio.state.history_file import HistoryFile
from mmids_trio.state.keeping import keep_state, save_the_last
from mmids_trio.state.record import MergedState, State, merge
from mmids_trio.state.recorder import ChangeRecorder, RecordedChanges
from mmids_trio.state.secrets import StateSecrets
from mmids_trio.state.store import StateStore
from mmids_trio.steps.registry import StepRegistry
from mmids_trio.workflow.change import ORDER_SECONDS, Change
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.status import OutcomeKind, PlanView, WorkflowOwner, of_set

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework
    from quart_trio import QuartTrio

    from mmids_trio.cluster.membership import Membership
    from mmids_trio.http_api import server as api_server
    from mmids_trio.http_api.timeline import Timeline
    from mmids_trio.server.cluster_part import ClusterPart
    from mmids_trio.steps.edge_pulls import EdgePulls
    from mmids_trio.webhook.webhook import Webhook
else:
    api_server = late("mmids_trio.http_api.server")

log = structlog.get_logger()

STOP_SECONDS = 4.5
"""What an orderly stop may take before everything left is cancelled; operators are promised 5 s."""

API_SECONDS = 0.5
"""How long the API waits for the workflows of the start, which may be thousands, before it says how far they are."""


class StartFailed(MmidsError):
    """A workflow of the configuration file cannot start, and `start_errors` is `exit`."""


@define(eq=False, kw_only=True)
class Server:
    """One mmids_trio server, as `building.build_server` makes it; `run` does everything, in the caller's nursery."""

    settings: Settings
    reactor_definitions: Sequence[ReactorDefinition]
    """Those of the configuration."""
    configuration_file: str | None
    """Where the workflows come from that `run` is given; they belong to it."""
    hub: EventHub
    rejections: RejectCounters
    """Who was kept out or cut off, by reason."""
    memory: MediaMemory
    """What clients make it hold."""
    rtmp: RtmpServer
    media: MediaServer
    """Serves media over HTTP."""
    ffmpeg: FfmpegTools
    executors: ExecutorRegistry
    steps: StepRegistry
    workflows: WorkflowManager
    pulls: "EdgePulls | None"
    """From other nodes, in a cluster."""
    reactors: Reactors
    on_air: OnAir
    """Its streams and clients."""
    thumbnails: Thumbnails
    """What its streams look like."""
    metrics: ServerMetrics
    """What it counts. Collectors of `prometheus_client` may be added to `metrics.registry`."""
    reloader: Reloader | None
    """Reloads the configuration while `run` runs."""
    recorder: ChangeRecorder
    _steps_beside: Callable[[Sequence[str]], StepRegistry]
    recorded: RecordedChanges
    """How the API changes workflows: what is changed so is remembered."""
    _events: EventFeed
    _make_timeline: "Callable[[], Timeline]"
    """Makes the last hour, once."""
    _state_file: StateFile | None
    _state_secrets: StateSecrets | None
    _store: StateStore | None
    _history_file: HistoryFile | None
    _kept_bans: KeptBans | None
    _webhooks: Sequence["Webhook"]
    cluster: "Membership | None"
    """Its part in the cluster that it is in."""
    _tokens: TokenFile | None
    _certificates: Certificates
    guards: Guards
    """Who is let in beside the secrets of steps."""
    draining: Draining
    """Whether it is being emptied."""
    cluster_part: "ClusterPart | None"
    """What it does as a node of a cluster beside its streams."""
    _make_http_app: Callable[[], "QuartTrio"]
    _around_api: Callable[["ASGIFramework"], "ASGIFramework"]
    _max_api_connections: int
    _log: Logging | None
    """What tells of the lines that the log left out."""
    _stop: trio.Event
    _may_change: trio.Event
    """Set when everything is started that the file and the state call for."""
    api_port: int | None = field(default=None, init=False)
    """The port that the HTTP API is really open on."""
    _http_app: "QuartTrio | None" = field(default=None, init=False)
    _start_failure: StartFailed | None = field(default=None, init=False)

    @property
    def api_url(self) -> str | None:
        """Where the HTTP API answers, once it runs; `None` without one."""
        if self.api_port is None:
            return None
        host = host_from_here(self.settings.http_api_host)
        scheme = "https" if self.settings.http_api_tls else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.api_port}"

    @property
    def current_settings(self) -> Settings:
        """Those that hold now: reloads may have changed some."""
        return self.settings if self.reloader is None else self.reloader.settings

    @property
    def http_app(self) -> "QuartTrio":
        """The HTTP API, whether or not a port is open for it; made when it is first asked for, which takes a while."""
        if self._http_app is None:
            self._http_app = self._make_http_app()
        return self._http_app

    @property
    def api(self) -> "ASGIFramework":
        """The HTTP API as clients reach it, with what is put around it."""
        return self._around_api(self.http_app)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Begin an orderly stop: `run` returns within `STOP_SECONDS`, with nothing left behind."""
        self._stop.set()

    async def look_for_ffmpeg(self) -> None:
        """Log which ffmpeg the steps will run, or why there is none, before the first of them needs it."""
        try:
            await self.ffmpeg.check()
        except StepError as error:
            log.warning("workflows with ffmpeg steps cannot run", reason=str(error))

    async def run(
        self,
        definitions: Sequence[WorkflowDefinition] = (),
        *,
        task_status: trio.TaskStatus[list[Change[PlanView]]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run validated `definitions` until `stop`, or until cancelled.

        Ready when the API answers and the workflows have been started; the value is their changes.
        Raises `http_api.server.CannotListen`, `TokenFileError` or `CertificateError` before anything runs, `StateError`
        or `ConfigurationError` for a state file that cannot be used; `StartFailed` after an orderly stop.
        """
        with (
            keep_state(
                self._state_file, self._steps_beside, definitions, self.reactor_definitions, self._state_secrets
            ) as state,
            self.metrics.sources.lag.measuring(),
        ):
            await self._run(definitions, state, task_status)

    async def _run(
        self,
        definitions: Sequence[WorkflowDefinition],
        state: State,
        task_status: trio.TaskStatus[list[Change[PlanView]]],
    ) -> None:
        if self._tokens is not None:
            await self._tokens.load()
        if self._kept_bans is not None:
            self._kept_bans.load()
        listeners = await self._bind_api()
        try:
            async with trio.open_nursery() as nursery:
                merged = self._merge(definitions, state)
                await self.workflows.prepare(merged.workflows, merged.reactors)
                await self._start(nursery, merged.reactors)
                merged = await self._join_fleet(nursery, merged)
                changes = await self._apply_and_open_api(merged, nursery, listeners)
                await self._take_changes(nursery)
                log.info("server started", version=__version__, workflows=len(changes), api_port=self.api_port)
                task_status.started(changes)
                if self.settings.start_errors == "exit":
                    nursery.start_soon(self._end_on_failed_start, changes)
                await self._stop.wait()
                nursery.cancel_scope.deadline = trio.current_time() + STOP_SECONDS
                await self.workflows.stop_all()
                await save_the_last(self._store)
                if self._history_file is not None:
                    await self._history_file.flush()
                async with trio.open_nursery() as flushing:
                    for webhook in self._webhooks:
                        flushing.start_soon(webhook.flush)
                nursery.cancel_scope.cancel()
        finally:
            for listener in listeners:  # they are the API's, which may have been cancelled before it ran
                listener.socket.close()
        log.info("server stopped")
        if self._start_failure is not None:
            raise self._start_failure

    async def _end_on_failed_start(self, changes: Sequence[Change[PlanView]]) -> None:
        """With `start_errors exit`: whatever of the file fails to start ends the server, in good order."""
        for change in changes:
            outcome = await change.wait_outcome()
            name = change.plan.workflow
            owner = self.workflows.owner(name)
            if outcome.kind is OutcomeKind.FAILED and owner is not None and owner.kind == "config":
                self._start_failure = StartFailed(f"workflow '{name}' cannot start: {outcome.message}")
                self.stop()
                return

    def _merge(self, definitions: Sequence[WorkflowDefinition], state: State) -> MergedState:
        """What runs; a file that cannot be written is noticed here, not with the first change."""
        merged = merge(definitions, state, self.reactor_definitions)
        self.recorder.begin(definitions, merged, self.reactor_definitions)
        for drop in merged.dropped:
            log.warning("a change over the API is dropped", reason=str(drop))
        return merged

    async def _start(
        self,
        nursery: trio.Nursery,
        reactor_definitions: Sequence[ReactorDefinition],
    ) -> None:
        if self._log is not None:
            await nursery.start(self._log.repeats.run)
        for webhook in self._webhooks:
            await nursery.start(webhook.run)
        await nursery.start(self.guards.run)
        if self.cluster is not None:
            await nursery.start(self.cluster.run)
        await nursery.start(self.rtmp.run)
        await nursery.start(self.media.run)
        await nursery.start(self.ffmpeg.ended_files.run)
        await nursery.start(self.thumbnails.run)
        if self.pulls is not None:
            await nursery.start(self.pulls.run)
        await nursery.start(self.workflows.run)
        if self._store is not None:
            await nursery.start(self._store.run)
        if self._history_file is not None:
            await nursery.start(self._history_file.run)
        if self._kept_bans is not None:
            await nursery.start(self._kept_bans.run)
        await nursery.start(self.reactors.run, self.workflows, reactor_definitions)
        await nursery.start(self._events.run)
        # What was started may have ended with a cancellation since, which is then ours as well.
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _join_fleet(self, nursery: trio.Nursery, merged: MergedState) -> MergedState:
        """Put in place what all nodes have; what is left to be started.

        Where that is not known, what this one had before is started with the rest.
        """
        if self.cluster_part is None:
            return merged
        configuration = self.cluster_part.configuration
        of_fleet = frozenset(name for name, of in merged.sets.items() if of == FLEET)
        configuration.left_over = of_fleet
        configuration.of_file = frozenset(each.name for each in merged.workflows) - merged.sets.keys()
        is_known = await self.cluster_part.catch_up()
        configuration.of_file = frozenset()
        await nursery.start(self.cluster_part.run)
        if not is_known:
            return merged
        running = self.workflows.names()
        others = tuple(each for each in merged.workflows if each.name not in of_fleet and each.name not in running)
        return evolve(merged, workflows=others)

    async def _apply_and_open_api(
        self, merged: MergedState, nursery: trio.Nursery, listeners: list[trio.SocketListener]
    ) -> list[Change[PlanView]]:
        """Publishers come first: importing the API takes as long as the whole start of a simple configuration."""
        applied = trio.Event()
        async with trio.open_nursery() as opening:
            if listeners:
                opening.start_soon(self._open_api, nursery, listeners, applied)
            changes = await self._apply(merged)
            applied.set()
        return changes

    async def _open_api(self, nursery: trio.Nursery, listeners: list[trio.SocketListener], applied: trio.Event) -> None:
        """Answer clients, who have been able to connect since the sockets are open."""
        with trio.move_on_after(API_SECONDS):
            await applied.wait()
        await nursery.start(self._make_timeline().run)
        limits = api_server.ConnectionLimits(
            self._max_api_connections,
            lambda: self._tokens is not None or self.current_settings.http_api_token is not None,
        )
        await nursery.start(
            partial(
                api_server.serve,
                self.api,
                listeners,
                shutdown=self._stop,
                rejections=self.rejections,
                counts=self.metrics.http,
                limits=limits,
                certificates=self._certificates if self.settings.http_api_tls else None,
            )
        )

    async def _apply(self, merged: MergedState) -> list[Change[PlanView]]:
        """One after another, so that of two workflows that want the same thing always the first one has it.

        All are announced before: clients of the first one's ports may want to have the last one's streams.
        """
        changes: list[Change[PlanView]] = []
        with ExitStack() as undo:
            announced = [undo.callback(self.workflows.announce(definition)) for definition in merged.workflows]
            for definition, forget in zip(merged.workflows, announced, strict=True):
                if self.is_stopping:
                    break
                of_file = WorkflowOwner("config", self.configuration_file)
                owner = of_set(merged.sets[definition.name]) if definition.name in merged.sets else of_file
                change = self.workflows.apply(definition, owner=owner)
                changes.append(change)
                forget()  # the change has announced its steps itself
                with trio.move_on_after(ORDER_SECONDS):
                    await change.wait_outcome()
        return changes

    async def _take_changes(self, nursery: trio.Nursery) -> None:
        """From now on others may change what runs; before, the rest of the start would undo it."""
        self._may_change.set()
        if self.reloader is not None:
            await nursery.start(self.reloader.run)
            if self.settings.watch_config and self.configuration_file is not None:
                await nursery.start(watch, Looks(self._watched).look, partial(self.reloader.request, "watch"))

    def _watched(self) -> Sequence[str]:
        assert self.reloader is not None
        return self.reloader.patterns or (str(self.configuration_file),)

    async def _bind_api(self) -> list[trio.SocketListener]:
        if self.settings.http_api_port is None:
            return []
        if self.settings.http_api_tls:
            await self._certificates.require()
        listeners = await bind(self.settings.http_api_host, self.settings.http_api_port)
        self.api_port = port_of(listeners)
        return listeners
