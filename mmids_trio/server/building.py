"""Puts a server together: the one place that knows how the parts are wired. Making one has no side effects."""

import os
import resource
import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from math import inf
from pathlib import Path
from random import random
from socket import gethostname
from time import time
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen

from mmids_trio import __version__
from mmids_trio.cluster.claims import StreamClaims
from mmids_trio.cluster.directory import Directory
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import ClusterDefinition, ReactorDefinition, WebhookDefinition
from mmids_trio.delivery.answers import date_line
from mmids_trio.delivery.page.page import PlayerPage
from mmids_trio.delivery.server import MediaServer
from mmids_trio.delivery.session import MediaBounds
from mmids_trio.ffmpeg.capacity import Capacity
from mmids_trio.ffmpeg.disk_room import free_bytes
from mmids_trio.ffmpeg.ended_files import EndedFiles
from mmids_trio.ffmpeg.executable import Places
from mmids_trio.ffmpeg.output_paths import make_directory
from mmids_trio.ffmpeg.picture import jpeg_of
from mmids_trio.ffmpeg.process import Spawner
from mmids_trio.ffmpeg.spawning import SystemSpawner
from mmids_trio.ffmpeg.stderr_log import FOLDER
from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.ffmpeg.tools import FfmpegTools
from mmids_trio.guards.guards import Guards
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.token_file import TokenFile
from mmids_trio.late import late
from mmids_trio.media_memory import MediaMemory
from mmids_trio.moments import rfc3339
from mmids_trio.net.certificates import CertificateFiles, Certificates
from mmids_trio.net.limits import ConnectionLimiter
from mmids_trio.net.tls import ConnectionGate, NetworkDialer, TlsGate
from mmids_trio.net.transport import Network, SocketNetwork
from mmids_trio.offload import Offload, in_thread
from mmids_trio.on_air.bans import Bans
from mmids_trio.on_air.directory import OnAir
from mmids_trio.outside_values import OutsideValues
from mmids_trio.plugins.kinds import kinds_of
from mmids_trio.reactors.catalog import built_in_executors
from mmids_trio.reactors.executor import ExecutorKind, ExecutorRegistry
from mmids_trio.reactors.reactor import Reactor
from mmids_trio.reactors.registry import Reactors
from mmids_trio.rejections import RejectCounters
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.reload.live import live_settings
from mmids_trio.reload.reloader import Load, Reloader
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.server.app import Server
from mmids_trio.server.draining import Draining, OwnDrain
from mmids_trio.server.lacks import Machine, certificate_files, more_certificate_files, written_directories
from mmids_trio.server.logs import Logging
from mmids_trio.server.metrics import ServerMetrics, Sources
from mmids_trio.server.on_air_events import OnAirEvents
from mmids_trio.server.readiness import ServerReadiness
from mmids_trio.server.stream_metrics import StreamMetrics
from mmids_trio.state.bans import KeptBans
from mmids_trio.state.file import StateFile
from mmids_trio.state.history import ChangeHistory
from mmids_trio.state.history_file import HistoryFile
from mmids_trio.state.recorder import ChangeRecorder, RecordedChanges, unsaved
from mmids_trio.state.secrets import StateSecrets
from mmids_trio.state.store import StateStore
from mmids_trio.steps.approval import KnownReactors
from mmids_trio.steps.catalog import built_in_steps
from mmids_trio.steps.claimed_keys import ClaimedKeys
from mmids_trio.steps.conflicts import conflicts
from mmids_trio.steps.ports import OpenPorts
from mmids_trio.steps.registry import StepRegistry, StepType
from mmids_trio.steps.rtmp_audience import WatchOptions
from mmids_trio.steps.stream_room import StreamRoom
from mmids_trio.workflow.event_filter import EventFilter
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.forwarding import ForwardingTable
from mmids_trio.workflow.hub import EventHub
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.pipeline import SharedServices

if TYPE_CHECKING:
    from hypercorn.typing import ASGIFramework
    from quart_trio import QuartTrio

    from mmids_trio.cluster import membership, registries, sealing
    from mmids_trio.http_api import app as http_api
    from mmids_trio.http_api import disk_forecast
    from mmids_trio.http_api import timeline as timelines
    from mmids_trio.server import cluster_events, cluster_part, fleet_configuration
    from mmids_trio.steps import edge_pulls
    from mmids_trio.webhook import webhook
else:
    http_api, webhook = late("mmids_trio.http_api.app"), late("mmids_trio.webhook.webhook")
    membership, registries = late("mmids_trio.cluster.membership"), late("mmids_trio.cluster.registries")
    sealing, cluster_part = late("mmids_trio.cluster.sealing"), late("mmids_trio.server.cluster_part")
    edge_pulls = late("mmids_trio.steps.edge_pulls")
    cluster_events = late("mmids_trio.server.cluster_events")
    fleet_configuration = late("mmids_trio.server.fleet_configuration")
    disk_forecast, timelines = late("mmids_trio.http_api.disk_forecast"), late("mmids_trio.http_api.timeline")

RESERVED_FILES = 100
"""Descriptors that RTMP clients leave to logs and to child processes, beside those of the API's connections."""

NONCE_BYTES = 5
"""Of what tells the ids of one run of a server from those of all others."""

API_SHARE = 4
"""The API has one in so many of all descriptors at most."""


@frozen(kw_only=True)
class World:
    """Where a server meets the machine. Tests and replays put something else there."""

    network: Network = field(factory=SocketNetwork)
    """Where RTMP ports are opened, and other servers reached."""
    spawner: Spawner | None = None
    """Where child processes come from; `None`: from this machine, with what settings say of their environment."""
    offload: Offload = in_thread
    """Where work goes that blocks."""
    random: Callable[[], float] = random
    """Numbers from 0 to 1, for the jitter of what is tried again."""
    now: Callable[[], float] = time
    """The calendar's time, in seconds since 1970 UTC; play tokens expire by it."""
    entropy: Callable[[int], bytes] = os.urandom
    """So many random bytes, for handshakes."""
    nonce: str | None = None
    """What ids of clients and streams have in common in one life of a server; drawn where it is not given."""
    make_trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    """The authorities by which servers that are dialled over TLS have to prove who they are."""
    make_directory: Callable[[str], None] = make_directory
    """For what children write. Raises `StepError`."""
    free_bytes: Callable[[str], int] = free_bytes
    """On the disk below a directory. Raises `OSError`."""
    claims: StreamClaims | None = None
    """The cluster that the server is in; `None`: the one that its configuration names."""
    registry: Callable[[str, str, Callable[[], float]], Directory] | None = None
    """The registry of a cluster, by the cluster's name, its URL and the calendar's time; `None`: a real one."""
    host_name: Callable[[], str] = gethostname
    """What a node of a cluster is called that has no other name."""


@frozen(kw_only=True)
class Hooks:
    """What is put around the ways into a server, to listen in or to stand in for the outside.

    Each gets what would be there without it.
    """

    gate: Callable[[ConnectionGate], ConnectionGate] = field(default=lambda gate: gate)
    executors: Callable[[ExecutorRegistry], ExecutorRegistry] = field(default=lambda executors: executors)
    api: Callable[["ASGIFramework"], "ASGIFramework"] = field(default=lambda app: app)
    load: Callable[[Load], Load] = field(default=lambda load: load)


NO_HOOKS = Hooks()


@frozen
class _Named:
    """Reactors of which only the names are known; see `steps.approval.Reactors`."""

    _names: Sequence[str]

    def names(self) -> Sequence[str]:
        return self._names

    def get(self, name: str) -> Reactor | None:
        return None


def build_server(
    settings: Settings,
    reactor_definitions: Sequence[ReactorDefinition] = (),
    *,
    webhooks: Sequence[WebhookDefinition] = (),
    cluster: ClusterDefinition | None = None,
    more_steps: Sequence[StepType] = (),
    more_executors: Sequence[ExecutorKind] = (),
    configuration_file: str | None = None,
    watched: Sequence[str] = (),
    load_again: Callable[[], Configuration] | None = None,
    world: World | None = None,
    hooks: Hooks = NO_HOOKS,
    log: Logging | None = None,
) -> Server:
    """A server that is ready to run. `more_steps` are kinds of steps of one's own, `more_executors` of executors.

    `configuration_file` is where the workflows come from that it will be given, `watched` (paths and patterns of such)
    what else `watch_config` looks at. `load_again` reads that file once more,
    for reloads; it raises `MmidsError` and may block. Without it there are no reloads. `log`: what the log is bounded
    by, where it was set up (`logs.configure`). Raises `NameTaken` where two kinds have one name.
    """
    world = world or World()
    stop, may_change = trio.Event(), trio.Event()
    outside = (log or Logging()).outside
    hub, rejections = EventHub(outside.hide), RejectCounters()
    memory = MediaMemory(settings.max_media_bytes, rejections)
    certificates = _certificates(settings, world)
    nonce = world.entropy(NONCE_BYTES).hex() if world.nonce is None else world.nonce
    on_air = OnAir(
        nonce, lambda: rfc3339(world.now()), trio.current_time, Bans(world.now, nonce), OnAirEvents(hub.publish)
    )
    gate = hooks.gate(TlsGate(certificates))
    limiter = ConnectionLimiter(
        settings.max_connections or connections_that_leave_files(settings), settings.max_connections_per_ip or inf
    )
    rtmp = _rtmp(settings, world, certificates, rejections, memory=memory, on_air=on_air, gate=gate, limiter=limiter)
    ffmpeg = _ffmpeg(settings, world, outside, memory)
    thumbnails = Thumbnails(on_air, partial(jpeg_of, ffmpeg))
    media = _media(settings, world, certificates, rejections, on_air=on_air, thumbnails=thumbnails, limiter=limiter)
    stream_room = StreamRoom.of(settings, rejections, memory)
    shared = SharedServices(
        ForwardingTable(), hub, random=world.random, outside=outside, on_air=on_air, offload=world.offload
    )
    known_executors = built_in_executors(*more_executors)
    guards = Guards(
        url=settings.auth_url,
        allows_on_failure=settings.auth_on_failure == "allow",
        jwt_key=settings.auth_jwt_key,
        jwks_url=settings.auth_jwks_url,
        now=world.now,
    )
    dialer = NetworkDialer(world.network, world.make_trust, offload=world.offload)
    shares = _shares(cluster, world, dialer, rejections, on_air, publish=hub.publish, most=settings.max_streams)
    executors = hooks.executors(known_executors)
    reactors = Reactors(reactor_definitions, executors, hub.publish)

    def steps_that_know(known: KnownReactors) -> StepRegistry:
        return built_in_steps(
            rtmp=rtmp,
            media=media,
            media_port=settings.http_media_port,
            dialer=dialer,
            ffmpeg=ffmpeg,
            forwarding=shared.forwarding,
            reactors=known,
            random=world.random,
            rejections=rejections,
            watch_options=WatchOptions.of(settings),
            stream_room=stream_room,
            on_air=on_air,
            guards=guards,
            now=world.now,
            entropy=world.entropy,
            claimed=shares.claimed,
            pulls=shares.pulls,
            more=more_steps,
        )

    def steps_beside(names: Sequence[str]) -> StepRegistry:
        return steps_that_know(_Named(names))

    steps = steps_that_know(reactors)
    workflows = WorkflowManager(steps, shared, reactors=reactors, steps_beside=steps_beside)
    workflows.changes_in_place = settings.changes_in_place
    state_file = None if settings.state_path is None else StateFile(Path(settings.state_path))
    secrets = None if state_file is None else StateSecrets.beside(state_file.path)
    store = None if state_file is None else StateStore(state_file, world.offload, secrets)
    kept_bans = None if state_file is None else KeptBans.beside(state_file.path, on_air.bans, world.offload)
    recorder = ChangeRecorder(workflows, unsaved if store is None else store.save)
    history = ChangeHistory(lambda: rfc3339(world.now()), publish=hub.publish)
    history_file = None if state_file is None else HistoryFile.beside(state_file.path, history, world.offload)
    recorded = RecordedChanges(workflows, recorder, history)
    reloader = None
    if load_again is not None:
        reloader = Reloader(
            settings,
            _learning(outside, hooks.load(partial(world.offload, load_again))),
            workflows,
            recorder,
            live_settings(rtmp, ffmpeg, workflows),
            rtmp.reload_certificates,
            hub.publish,
            patterns=watched,
            history=history,
            webhooks=webhooks,
            cluster=cluster,
        )
    events = EventFeed(hub, stop)
    timeline = cache(lambda: timelines.Timeline(on_air, hub, events, world.now, _disks(settings, world, workflows)))
    posting = _webhooks(settings, webhooks, hub, world.random)
    draining = Draining(
        on_air,
        partial(rtmp.ask_to_reconnect, "This server is being emptied."),
        hub.publish,
        (lambda: None) if shares.claimed is None else shares.claimed.free_waiting,
    )
    part = _cluster_part(
        shares.member,
        world,
        publish=hub.publish,
        draining=draining,
        on_air=on_air,
        outside=outside,
        configuration=lambda: fleet_configuration.FleetConfiguration(
            sets=workflows,
            changes=recorded,
            reactors=lambda: reactors.definitions,
            find_conflicts=partial(conflicts, settings=settings),
            find_lacks=_machine(settings, ffmpeg, world).lacks,
        ),
    )
    sources = Sources(
        version=__version__,
        rtmp=rtmp,
        media=media,
        rejections=rejections,
        workflows=workflows.names,
        leases=reactors.leases,
        reloads=lambda: {} if reloader is None else reloader.results,
        questions=reactors.questions,
        events=events,
        webhook=lambda: sum(each.backlog.joined for each in posting),
        hub=hub,
        log=log or Logging(),
        children=ffmpeg.capacity,
        thumbnails=thumbnails,
        ended_files=ffmpeg.ended_files,
        memory=memory,
        draining=draining,
        cluster=part,
        pulls=shares.pulls,
    )
    hub.listen(sources.answers.note)
    metrics = ServerMetrics(
        shared.totals, sources, StreamMetrics(on_air, lambda: settings.stream_metrics, trio.current_time)
    )
    tokens_path = settings.http_api_tokens_path
    tokens = None if tokens_path is None else TokenFile(Path(tokens_path), world.offload, world.now)

    def make_http_app() -> "QuartTrio":
        return http_api.create_app(
            workflows,
            recorded,
            tokens=tokens,
            token=(lambda: settings.http_api_token) if reloader is None else (lambda: reloader.settings.http_api_token),
            version=__version__,
            reactors=reactors,
            on_air=on_air,
            thumbnails=thumbnails,
            bans_are_kept=kept_bans.durable if kept_bans is not None else trio.lowlevel.checkpoint,
            events=events,
            history=history,
            recent_log=(log or Logging()).recent,
            sets=workflows,
            reloader=reloader,
            durability=store,
            may_change=may_change,
            metrics=metrics,
            readiness=ServerReadiness(workflows, (rtmp, media), may_change, stop, draining),
            drains=part or OwnDrain(draining),
            cluster=part,
            rejections=rejections,
            publish=hub.publish,
            own_hosts=frozenset(settings.http_api_hosts or ()),
            hide=outside.hide,
            find_conflicts=partial(conflicts, settings=settings),
            timeline=timeline(),
            ui=settings.ui,
            ports=OpenPorts(rtmp, media, settings.http_media_port),
            find_lacks=_machine(settings, ffmpeg, world).lacks,
            kinds=partial(kinds_of, steps, known_executors),
        )

    return Server(
        settings=settings,
        reactor_definitions=reactor_definitions,
        configuration_file=configuration_file,
        hub=hub,
        rejections=rejections,
        memory=memory,
        rtmp=rtmp,
        media=media,
        ffmpeg=ffmpeg,
        executors=executors,
        steps=steps,
        workflows=workflows,
        pulls=shares.pulls,
        reactors=reactors,
        on_air=on_air,
        thumbnails=thumbnails,
        metrics=metrics,
        reloader=reloader,
        recorder=recorder,
        steps_beside=steps_beside,
        recorded=recorded,
        events=events,
        make_timeline=timeline,
        state_file=state_file,
        state_secrets=secrets,
        kept_bans=kept_bans,
        store=store,
        history_file=history_file,
        webhooks=posting,
        cluster=shares.member,
        tokens=tokens,
        certificates=certificates,
        guards=guards,
        draining=draining,
        cluster_part=part,
        make_http_app=make_http_app,
        around_api=hooks.api,
        max_api_connections=api_connections(settings),
        log=log,
        stop=stop,
        may_change=may_change,
    )


def _learning(outside: OutsideValues, load: Load) -> Load:
    """Has what comes from outside into the configuration hidden from then on."""

    async def load_and_learn() -> Configuration:
        configuration = await load()
        outside.add(configuration.values)
        return configuration

    return load_and_learn


# Parts that follow from settings and from the machine alone.


def _certificates(settings: Settings, world: World) -> Certificates:
    def of(files: CertificateFiles | None, more: Sequence[Certificates] = ()) -> Certificates:
        expired = settings.allow_expired_certificate
        return Certificates(files, more=more, offload=world.offload, allow_expired=expired)

    return of(certificate_files(settings), [of(files) for files in more_certificate_files(settings)])


def _rtmp(
    settings: Settings,
    world: World,
    certificates: Certificates,
    rejections: RejectCounters,
    *,
    memory: MediaMemory,
    on_air: OnAir,
    gate: ConnectionGate,
    limiter: ConnectionLimiter,
) -> RtmpServer:
    return RtmpServer(
        world.network,
        host=settings.rtmp_host,
        publisher_timeout=settings.publisher_patience,
        merge_reads=settings.rtmp_merge_reads,
        limiter=limiter,
        max_streams_per_connection=settings.max_streams_per_connection,
        memory=memory,
        on_air=on_air,
        balancers=settings.rtmp_proxy_protocol_from or (),
        certificates=certificates,
        rejections=rejections,
        gate=gate,
        entropy=world.entropy,
    )


def _media(
    settings: Settings,
    world: World,
    certificates: Certificates,
    rejections: RejectCounters,
    *,
    on_air: OnAir,
    thumbnails: Thumbnails,
    limiter: ConnectionLimiter,
) -> MediaServer:
    return MediaServer(
        world.network,
        MediaBounds(
            site=PlayerPage(thumbnails.of_stream),
            on_air=on_air,
            proxies=settings.http_media_proxies or (),
            origins=("*",) if settings.http_media_origins is None else settings.http_media_origins,
            date=lambda: date_line(int(world.now())),
        ),
        host=settings.http_media_host,
        limiter=limiter,
        certificates=certificates,
        rejections=rejections,
    )


def _disks(settings: Settings, world: World, workflows: WorkflowManager) -> "disk_forecast.Disks":
    def directories() -> Iterable[str]:
        return written_directories(settings, map(workflows.definition, workflows.names()))

    return disk_forecast.Disks(directories, world.free_bytes, world.offload)


def _folder(settings: Settings) -> Path | None:
    return None if settings.log_path is None else Path(settings.log_path) / FOLDER


def _ffmpeg(settings: Settings, world: World, outside: OutsideValues, memory: MediaMemory) -> FfmpegTools:
    return FfmpegTools(
        world.spawner or SystemSpawner(proxy=settings.ffmpeg_proxy),
        Places(settings.ffmpeg_path),
        None if settings.log_path is None else Path(settings.log_path),
        world.random,
        offload=world.offload,
        make_directory=world.make_directory,
        least_free=settings.hls_min_free,
        free_bytes=world.free_bytes,
        capacity=Capacity(settings.max_children, settings.max_encode_rate),
        memory=memory,
        ended_files=EndedFiles(_folder(settings), settings.ended_files_keep, offload=world.offload),
        outside=outside,
    )


def api_connections(settings: Settings) -> int:
    """Connections that the API may have, each of which has a descriptor that RTMP leaves to it; none without an API."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if settings.http_api_port is None else min(settings.api_max_connections, allowed // API_SHARE)


def connections_that_leave_files(settings: Settings) -> int:
    """RTMP connections that the process may have: what descriptors the API and `RESERVED_FILES` leave (or half)."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(allowed - RESERVED_FILES - api_connections(settings), allowed // 2)


def _machine(settings: Settings, ffmpeg: FfmpegTools, world: World) -> Machine:
    return Machine(settings, ffmpeg.check, now=lambda: datetime.fromtimestamp(world.now(), UTC), offload=world.offload)


@frozen
class _Shares:
    """What a server has of its cluster: its membership, its keys, and what it fetches of others."""

    member: "membership.Membership | None" = None
    claimed: ClaimedKeys | None = None
    pulls: "edge_pulls.EdgePulls | None" = None


def _shares(
    cluster: ClusterDefinition | None,
    world: World,
    dialer: NetworkDialer,
    rejections: RejectCounters,
    on_air: OnAir,
    *,
    publish: Callable[[HubEvent], None],
    most: float,
) -> _Shares:
    """`most`: how many pulls there may be."""
    member = None if cluster is None else _member(cluster, world, publish)
    claims = world.claims or member
    if claims is None:
        return _Shares()
    pulls = edge_pulls.EdgePulls(claims, dialer, world.random, rejections, on_air, most)
    if cluster is not None:
        pulls.linger_s = cluster.linger_s
    return _Shares(member, ClaimedKeys(claims, rejections), pulls)


def _member(cluster: ClusterDefinition, world: World, publish: Callable[[HubEvent], None]) -> "membership.Membership":
    node = cluster.node or world.host_name()
    events = cluster_events.ClusterEvents(node, publish)
    return membership.Membership(
        cluster=cluster.name,
        node=node,
        address=cluster.advertise,
        secret=cluster.secret,
        directory=(world.registry or registries.directory_of)(cluster.name, cluster.registry, world.now),
        allows_on_failure=cluster.allows_on_failure,
        entropy=world.entropy,
        now=world.now,
        on_away=events.away,
        on_lost=events.lost,
    )


def _cluster_part(
    member: "membership.Membership | None",
    world: World,
    *,
    publish: Callable[[HubEvent], None],
    draining: Draining,
    on_air: OnAir,
    outside: OutsideValues,
    configuration: Callable[[], "fleet_configuration.FleetConfiguration"],
) -> "cluster_part.ClusterPart | None":
    """What a server does in a cluster; nothing of it is made, or imported, for one that is in none."""
    if member is None:
        return None
    seal = sealing.Seal(member.secret, world.entropy)
    return cluster_part.ClusterPart.of(
        member,
        configuration(),
        draining,
        on_air,
        seal,
        hide=outside.hide,
        entropy=world.entropy,
        publish=publish,
    )


def _webhooks(
    settings: Settings, more: Sequence[WebhookDefinition], hub: EventHub, random: Callable[[], float]
) -> Sequence["webhook.Webhook"]:
    """Who is told what happens: where the settings say, and each node."""
    first: tuple[WebhookDefinition, ...] = ()
    if settings.webhook_url is not None:
        types = tuple(settings.webhook_events.split(",")) if settings.webhook_events else ()
        first = (WebhookDefinition("", settings.webhook_url, settings.webhook_secret, types),)
    return [
        webhook.Webhook(
            hub=hub,
            url=each.url,
            secret=each.secret,
            wanted=EventFilter(each.types, each.workflow),
            random=random,
            name=each.name,
        )
        for each in (*first, *more)
    ]
