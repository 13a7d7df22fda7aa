"""The whole server, put together; what is made here and handed on is all the wiring that there is."""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from random import random
from time import time

import structlog
import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework
from quart_trio import QuartTrio

from mmids_trio import __version__
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.errors import StepError
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.ffmpeg.spawning import SystemSpawner
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.guards import GuardCounters
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.server import ConnectionLimits, bind, port_of, serve
from mmids_trio.metrics.collection import Metrics
from mmids_trio.metrics.sources import Sources
from mmids_trio.net.certificates import Certificates
from mmids_trio.net.tls import NetworkDialer
from mmids_trio.net.transport import Network, SocketNetwork
from mmids_trio.offload import Offload, in_thread
from mmids_trio.parts import (
    api_connections,
    certificate_files,
    connections_that_leave_files,
    webhook_of,
)
from mmids_trio.reactors.catalog import built_in_executors
from mmids_trio.reactors.directory import ReactorDirectory
from mmids_trio.reactors.executor import ExecutorKind, ExecutorRegistry
from mmids_trio.reactors.registry import Reactors
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.reload.keeping import keep_state, save_the_last
from mmids_trio.reload.live import live_settings
from mmids_trio.reload.reloader import Reloader
from mmids_trio.reload.watch import look_at, watch
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.state.record import Merged, State, merge
from mmids_trio.state.recorder import RecordedChanges, Recorder
from mmids_trio.state.store import StateStore
from mmids_trio.steps.catalog import built_in_steps
from mmids_trio.steps.registry import StepRegistry, StepType
from mmids_trio.steps.rtmp_audience import WatchOptions
from mmids_trio.webhook.webhook import Webhook
from mmids_trio.workflow.change import ORDER_SECONDS, Change
from mmids_trio.workflow.forwarding import ForwardingTable
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.pipeline import SharedServices
from mmids_trio.workflow.status import PlanView, WorkflowOwner

log = structlog.get_logger()

STOP_SECONDS = 4.5
"""What an orderly stop may take before everything left is cancelled; operators are promised 5 s."""


@define(eq=False)
class Server:
    """One mmids_trio server. `network` is where RTMP ports are opened; `more_steps` are step types of one's own;
    `more_executors` are kinds of executors of one's own; `spawner` is where child processes come from; `offload` is
    where work goes that blocks.

    Making one has no side effects; `run` does everything, in the caller's nursery.
    """

    settings: Settings
    reactor_definitions: Sequence[ReactorDefinition] = ()
    network: Network = field(factory=SocketNetwork)
    more_steps: Sequence[StepType] = ()
    spawner: Spawner = field(factory=SystemSpawner)
    more_executors: Sequence[ExecutorKind] = ()
    api_layer: Callable[[ASGIFramework], ASGIFramework] = field(default=lambda app: app)
    """What is put around the application of the HTTP API."""
    offload: Offload = in_thread
    random: Callable[[], float] = random
    """Numbers from 0 to 1, for the jitter of what is tried again."""
    now: Callable[[], float] = time
    """The calendar's time, in seconds since 1970 UTC; play tokens expire by it."""
    guards: GuardCounters = field(factory=GuardCounters, init=False)
    """Who was kept out or cut off, by reason."""
    certificates: Certificates = field(init=False)
    dialer: NetworkDialer = field(init=False)
    rtmp: RtmpServer = field(init=False)
    ffmpeg: FfmpegTools = field(init=False)
    hub: EventHub = field(factory=EventHub, init=False)
    executors: ExecutorRegistry = field(init=False)
    _directory: ReactorDirectory = field(init=False)
    steps: StepRegistry = field(init=False)
    workflows: WorkflowManager = field(init=False)
    configuration_file: str | None = None
    """Where the workflows come from that `run` is given; they belong to it."""
    load_again: Callable[[], Configuration] | None = None
    """Reads that file once more, for reloads; raises `MmidsError`. May block. Without it there are none."""
    metrics: Metrics = field(init=False)
    """What it counts. Collectors of `prometheus_client` may be added to `metrics.registry`."""
    recorder: Recorder = field(init=False)
    _recorded: RecordedChanges = field(init=False)
    _events: EventFeed = field(init=False)
    reloader: Reloader | None = field(default=None, init=False)
    """Reloads the configuration while `run` runs."""
    _store: StateStore | None = field(default=None, init=False)
    api_port: int | None = field(default=None, init=False)
    """The port that the HTTP API is really open on."""
    reactors: Reactors | None = field(default=None, init=False)
    """The reactors, from the moment that they run."""
    _webhook: Webhook | None = field(init=False)
    _http_app: QuartTrio | None = field(default=None, init=False)
    _stop: trio.Event = field(factory=trio.Event, init=False)
    _may_change: trio.Event = field(factory=trio.Event, init=False)
    """Set when everything is started that the file and the state call for."""

    def __attrs_post_init__(self) -> None:
        self.dialer = NetworkDialer(self.network, offload=self.offload)
        self.certificates = Certificates(certificate_files(self.settings), offload=self.offload)
        self.rtmp = RtmpServer(
            self.network,
            host=self.settings.rtmp_host,
            publisher_timeout=self.settings.publisher_timeout,
            merge_reads=self.settings.rtmp_merge_reads,
            max_connections=self.settings.max_connections or connections_that_leave_files(self.settings),
            max_connections_per_ip=self.settings.max_connections_per_ip or inf,
            balancers=self.settings.rtmp_proxy_protocol_from or (),
            certificates=self.certificates,
            guards=self.guards,
        )
        self.ffmpeg = FfmpegTools(
            self.spawner,
            Places(self.settings.ffmpeg_path),
            Path(self.settings.log_path),
            self.random,
            offload=self.offload,
        )
        self.executors = built_in_executors(*self.more_executors)
        shared = SharedServices(ForwardingTable(), self.hub)
        self._directory = ReactorDirectory([reactor.name for reactor in self.reactor_definitions])
        self.steps = built_in_steps(
            rtmp=self.rtmp,
            dialer=self.dialer,
            ffmpeg=self.ffmpeg,
            forwarding=shared.forwarding,
            reactors=self._directory,
            random=self.random,
            watch_options=WatchOptions.of(self.settings),
            now=self.now,
            more=self.more_steps,
        )
        self.workflows = WorkflowManager(self.steps, shared)
        self.workflows.reactors = self._directory
        self.recorder = Recorder(self.workflows)
        self._recorded = RecordedChanges(self.workflows, self.recorder)
        self._events = EventFeed(self.hub, self._stop)
        self.metrics = Metrics(
            shared.totals,
            Sources(
                version=__version__,
                rtmp=self.rtmp,
                guards=self.guards,
                workflows=self.workflows.names,
                leases=lambda: {} if self.reactors is None else self.reactors.leases(),
                events=self._events,
                hub=self.hub,
            ),
        )
        self.hub.listen(self.metrics.sources.answers.note)
        self._webhook = webhook_of(self.settings, self.hub, self.random)
        if self.load_again is not None:
            self.reloader = Reloader(
                self.settings,
                partial(self.offload, self.load_again),
                self.workflows,
                self.recorder,
                live_settings(self.rtmp, self.ffmpeg),
                self.rtmp.reload_certificates,
            )

    @property
    def api_url(self) -> str | None:
        """Where the HTTP API answers, once it runs; `None` without one."""
        if self.api_port is None:
            return None
        host = self.settings.http_api_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api_port}"

    @property
    def current_settings(self) -> Settings:
        """Those that hold now: reloads may have changed some."""
        return self.settings if self.reloader is None else self.reloader.settings

    @property
    def http_app(self) -> QuartTrio:
        """The HTTP API, whether or not a port is open for it; there is one from the moment that the server runs."""
        if self._http_app is None:
            assert self.reactors is not None, "the server does not run yet"
            self._http_app = create_app(
                self.workflows,
                self._recorded,
                token=lambda: self.current_settings.http_api_token,
                version=__version__,
                reactors=self.reactors,
                events=self._events,
                sets=self.workflows,
                reloader=self.reloader,
                durability=self._store,
                may_change=self._may_change,
                metrics=self.metrics,
                guards=self.guards,
            )
        return self._http_app

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
        Raises `http_api.listening.CannotListen` before anything runs, and `StateError` or `ConfigurationError` for a
        state file that cannot be used.
        """
        with keep_state(
            self.settings.state_path,
            self.steps,
            self._directory,
            (definitions, self.reactor_definitions),
            self.offload,
        ) as kept:
            state, self._store = kept
            if self._store is not None:
                self.recorder.save = self._store.save
            with self.metrics.sources.lag.measuring():
                await self._run(definitions, state, task_status)

    async def _run(
        self,
        definitions: Sequence[WorkflowDefinition],
        state: State,
        task_status: trio.TaskStatus[list[Change[PlanView]]],
    ) -> None:
        listeners = await self._bind_api()
        try:
            async with trio.open_nursery() as nursery:
                merged = self._merge(definitions, state)
                await self._start(nursery, listeners, merged.reactors)
                changes = await self._apply(merged)
                await self._take_changes(nursery)
                log.info("server started", version=__version__, workflows=len(changes), api_port=self.api_port)
                task_status.started(changes)
                await self._stop.wait()
                nursery.cancel_scope.deadline = trio.current_time() + STOP_SECONDS
                await self.workflows.stop_all()
                await save_the_last(self._store)
                if self._webhook is not None:
                    await self._webhook.flush()
                nursery.cancel_scope.cancel()
        finally:
            for listener in listeners:  # they are the API's, which may have been cancelled before it ran
                listener.socket.close()
        log.info("server stopped")

    def _merge(self, definitions: Sequence[WorkflowDefinition], state: State) -> Merged:
        """What runs; a file that cannot be written is noticed here, not with the first change."""
        merged = merge(definitions, state, self.reactor_definitions)
        self.recorder.begin(definitions, merged, self.reactor_definitions)
        for drop in merged.dropped:
            log.warning("a change over the API is dropped", reason=str(drop))
        return merged

    async def _start(
        self,
        nursery: trio.Nursery,
        listeners: list[trio.SocketListener],
        reactor_definitions: Sequence[ReactorDefinition],
    ) -> None:
        if self._webhook is not None:
            await nursery.start(self._webhook.run)
        await nursery.start(self.rtmp.run)
        await nursery.start(self.workflows.run)
        if self._store is not None:
            await nursery.start(self._store.run)
        self.reactors = Reactors(reactor_definitions, self.executors, self.workflows, self.hub.publish)
        await nursery.start(self.reactors.run)
        self._directory.fill(self.reactors)
        await nursery.start(self._events.run)
        if listeners:
            app = self.api_layer(self.http_app)
            counts = self.metrics.http
            limits = ConnectionLimits(
                api_connections(self.settings), lambda: self.current_settings.http_api_token is not None
            )
            await nursery.start(
                partial(serve, app, listeners, shutdown=self._stop, guards=self.guards, counts=counts, limits=limits)
            )
        # What was started may have ended with a cancellation since, which is then ours as well.
        await trio.lowlevel.checkpoint_if_cancelled()

    async def _apply(self, merged: Merged) -> list[Change[PlanView]]:
        """One after another, so that of two workflows that want the same thing always the first one has it."""
        changes: list[Change[PlanView]] = []
        for definition in merged.workflows:
            if self.is_stopping:
                break
            of_file = WorkflowOwner("config", self.configuration_file)
            owner = WorkflowOwner("api") if definition.name in merged.made_by_api else of_file
            change = self.workflows.apply(definition, owner=owner)
            changes.append(change)
            with trio.move_on_after(ORDER_SECONDS):
                await change.wait_outcome()
        return changes

    async def _take_changes(self, nursery: trio.Nursery) -> None:
        """From now on others may change what runs; before, the rest of the start would undo it."""
        self._may_change.set()
        if self.reloader is not None:
            await nursery.start(self.reloader.run)
            if self.settings.watch_config and self.configuration_file is not None:
                await nursery.start(watch, look_at(Path(self.configuration_file)), self.reloader.request)

    async def _bind_api(self) -> list[trio.SocketListener]:
        if self.settings.http_api_port is None:
            return []
        listeners = await bind(self.settings.http_api_host, self.settings.http_api_port)
        self.api_port = port_of(listeners)
        return listeners
