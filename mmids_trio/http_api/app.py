"""The HTTP API put together: who may come in, the routes of every subject, and what goes wrong.

`entrance` decides who may come in. The handlers (`routes/`) only translate: `put` and `etags` check what a request asks
for, what it does is done by what they are given, and what goes back is shaped by `schemas`.
"""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

import trio
from quart import Response, request
from quart_trio import QuartTrio

from mmids_trio.errors import MmidsError
from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.http_api.access import Access, check_change, current_caller
from mmids_trio.http_api.answers import HIDE, add_failure_handlers, refuse
from mmids_trio.http_api.canonical import DefinitionTags, RunningConfig
from mmids_trio.http_api.control import (
    Changes,
    Drains,
    Durability,
    History,
    Metrics,
    Readiness,
    RecentLog,
    ReloadControl,
    Sets,
    ShownReactors,
    Workflows,
)
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.http_api.entrance import Entrance
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.http_api.event_stream import StreamCutter
from mmids_trio.http_api.operation import Operation
from mmids_trio.http_api.overview import Overview
from mmids_trio.http_api.previews import Previews
from mmids_trio.http_api.refusals import Forbidden
from mmids_trio.http_api.routes.about import (
    add_document_route,
    add_health_routes,
    add_metrics_route,
    add_readiness_route,
)
from mmids_trio.http_api.routes.bans import Banning, add_ban_routes
from mmids_trio.http_api.routes.cluster import Cluster, add_cluster_routes
from mmids_trio.http_api.routes.config import (
    FindConflicts,
    FindLacks,
    add_config_routes,
    add_reload_route,
    no_conflicts,
    no_lacks,
)
from mmids_trio.http_api.routes.dashboard import QR_PATH, SESSION_PATH, StepsNow, add_dashboard_routes
from mmids_trio.http_api.routes.drain import DRAIN_PATH, add_drain_routes
from mmids_trio.http_api.routes.events import add_event_routes
from mmids_trio.http_api.routes.history import add_history_routes, add_log_route
from mmids_trio.http_api.routes.play_links import PLAY_LINKS_PATH, add_play_link_route
from mmids_trio.http_api.routes.reactors import add_reactor_routes
from mmids_trio.http_api.routes.streams import SEND_AWAY_PATHS, add_stream_routes
from mmids_trio.http_api.routes.timeline import add_timeline_route
from mmids_trio.http_api.routes.workflows import add_switch_route, add_workflow_routes
from mmids_trio.http_api.routing import Routes, create_api
from mmids_trio.http_api.schemas import Hide, shown_as_it_is
from mmids_trio.http_api.timeline import Timeline
from mmids_trio.http_api.token_file import TokenFile
from mmids_trio.on_air.directory import OnAir
from mmids_trio.plugins.kinds import KindView
from mmids_trio.rejections import RejectCounters, RejectReason
from mmids_trio.steps.ports import OpenPorts
from mmids_trio.workflow.events import HubEvent

CHANGING = ("PUT", "POST", "DELETE")
STATUSES_OF_CHANGES = (HTTPStatus.OK, HTTPStatus.CONFLICT, HTTPStatus.GATEWAY_TIMEOUT)
"""Those of a change that was accepted; all others are of requests that were turned down."""


def create_app(
    workflows: Workflows,
    changes: Changes,
    *,
    token: str | Callable[[], str | None] | None,
    tokens: TokenFile | None = None,
    version: str,
    reactors: ShownReactors | None = None,
    on_air: OnAir | None = None,
    thumbnails: Thumbnails | None = None,
    bans_are_kept: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    events: EventFeed | None = None,
    history: History | None = None,
    recent_log: RecentLog | None = None,
    sets: Sets | None = None,
    reloader: ReloadControl | None = None,
    durability: Durability | None = None,
    may_change: trio.Event | None = None,
    metrics: Metrics | None = None,
    readiness: Readiness | None = None,
    drains: Drains | None = None,
    cluster: Cluster | None = None,
    rejections: RejectCounters | None = None,
    publish: Callable[[HubEvent], None] = lambda _: None,
    own_hosts: frozenset[str] = frozenset(),
    hide: Hide = shown_as_it_is,
    find_conflicts: FindConflicts = no_conflicts,
    find_lacks: FindLacks = no_lacks,
    kinds: Callable[[], Sequence[KindView]] = tuple,
    timeline: Timeline | None = None,
    ui: bool = False,
    ports: OpenPorts | None = None,
) -> QuartTrio:
    """Build the API over `workflows`, changed by way of `changes`, and over what else there is.

    `bans_are_kept` waits until bans are on the disk, where they are kept.
    Without a `token` and a file of named `tokens` it answers to loopback names only.

    A `token` that may change is a function. With `durability`, a change is answered when it is kept.
    What changes (or plans) something waits for `may_change`.
    `rejections`: where refusals are counted. `publish`: for events that the API has to tell. `own_hosts`: names that
    a proxy in front has, in lower case. `hide` takes secrets out of messages. `find_conflicts`:
    what the steps of a body want twice; `find_lacks`: what the machine lacks for workflows. `kinds`: what workflows
    and reactors may consist of. `timeline`: the last hour. `ui`: whether there is the dashboard,
    which shows the `ports` of steps.
    """
    if token == "":
        raise ValueError("an empty http_api_token protects nothing; give None for no token")
    app = create_api()
    app.config[HIDE] = hide
    routes = Routes(app)
    tags = DefinitionTags(workflows)
    add_health_routes(routes, version)
    add_workflow_routes(routes, workflows, changes, tags)
    add_switch_route(routes, workflows)
    add_play_link_route(routes, workflows)
    if reactors is not None:
        add_reactor_routes(routes, reactors)
    if on_air is not None and thumbnails is not None:
        banning = Banning(on_air, bans_are_kept, history)
        add_ban_routes(routes, banning)
        add_stream_routes(routes, on_air, thumbnails, banning, cluster)
    if sets is not None:
        running = RunningConfig(sets, tags, reactors)
        add_config_routes(routes, sets, changes, running, publish, find_conflicts=find_conflicts, find_lacks=find_lacks)
        if reloader is not None:
            add_reload_route(routes, reloader, running)
    if events is not None:
        add_event_routes(routes, events)
        app.asgi_app = StreamCutter(app.asgi_app, events)  # type: ignore[method-assign]  # as below
    _look_back(routes, history, timeline, recent_log)
    if metrics is not None:
        add_metrics_route(routes, metrics)
    access = Access(token if callable(token) else lambda: token, tokens)
    _add_what_balancers_ask(routes, readiness, drains)
    add_cluster_routes(routes, cluster)
    add_document_route(routes, version, needs_token=lambda: access.is_locked, kinds=kinds)
    rejections = rejections or RejectCounters()
    if ui and on_air is not None:
        add_dashboard_routes(
            routes,
            access,
            overview=Overview(workflows, on_air, readiness, hide, timeline.disks.views if timeline else tuple),
            previews=Previews(on_air, rejections, lambda: events is not None and events.is_over),
            steps=StepsNow(workflows, metrics, ports),
            version=version,
            rejections=rejections,
        )
    _check_scopes(app, routes.operations, rejections)
    if durability is not None:
        _add_durability(app, durability)
    _hold_changes(app, may_change)
    add_failure_handlers(app)
    counts = HttpCounts() if metrics is None else metrics.http
    app.asgi_app = Entrance(  # type: ignore[method-assign]  # Quart's documented place for ASGI layers
        app.asgi_app, access, _public(routes.operations), own_hosts, counts, rejections, has_page=ui
    )
    return app


def _add_what_balancers_ask(routes: Routes, readiness: Readiness | None, drains: Drains | None) -> None:
    """Whether clients are to be sent here."""
    if readiness is not None:
        add_readiness_route(routes, readiness)
    if drains is not None:
        add_drain_routes(routes, drains)


def _look_back(
    routes: Routes, history: History | None, timeline: Timeline | None, recent_log: RecentLog | None
) -> None:
    if history is not None:
        add_history_routes(routes, history)
    if timeline is not None:
        add_timeline_route(routes, timeline)
    if recent_log is not None:
        add_log_route(routes, recent_log)


def _public(operations: Sequence[Operation]) -> Callable[[str, str], bool]:
    """Which method of which path needs no token. A parameter of such a path stands at its end."""
    public = [operation for operation in operations if operation.public]
    exact = {(operation.method, operation.path) for operation in public}
    below = [(operation.method, operation.path.partition("{")[0]) for operation in public if "{" in operation.path]

    def is_public(method: str, path: str) -> bool:
        method = "GET" if method == "HEAD" else method
        return (method, path) in exact or any(method == known and path.startswith(start) for known, start in below)

    return is_public


def _check_scopes(app: QuartTrio, operations: Sequence[Operation], rejections: RejectCounters) -> None:
    """First of all, before a body is read or anything is waited for."""
    by_id = {operation.operation_id: operation for operation in operations}

    @app.before_request
    async def check_scope() -> None:
        operation = by_id.get(request.endpoint or "")
        if operation is None or operation.public:
            return
        caller = current_caller()
        if not any(map(caller.may, operation.scopes)):
            message = f"the token '{caller.name}' is not good for this request, which takes the scope {operation.takes}"
            raise Forbidden(message)
        if operation.scope == "change" and (name := (request.view_args or {}).get("name")) is not None:
            check_change(name)

    @app.after_request
    async def count(response: Response) -> Response:
        if response.status_code == HTTPStatus.FORBIDDEN:
            rejections.count(RejectReason.API_SCOPE)
        return response


def _add_durability(app: QuartTrio, durability: Durability) -> None:
    """Also a change that was taken back, or that goes on, waits: a restart must not bring back something else.

    Plans and links change nothing, and switches nothing that is kept; who is sent away may come back.
    """

    @app.after_request
    async def keep(response: Response) -> Response:
        if not _may_be_kept() or response.status_code not in STATUSES_OF_CHANGES:
            return response
        try:
            await durability.durable()
        except MmidsError as error:
            return refuse(507, str(error)) if response.status_code == HTTPStatus.OK else response
        return response


def _may_be_kept() -> bool:
    """By method first: a workflow that is deleted may be called as any of these, and a DELETE has no dry run."""
    match request.method:
        case "PUT":
            return request.args.get("dry_run") != "true"
        case "POST":
            return not request.path.endswith(("/plan", "/switch", DRAIN_PATH, SESSION_PATH, PLAY_LINKS_PATH, QR_PATH))
    return request.method == "DELETE" and not request.path.startswith((*SEND_AWAY_PATHS, DRAIN_PATH, SESSION_PATH))


def _hold_changes(app: QuartTrio, may_change: trio.Event | None) -> None:
    """Behind the entrance: who may not come in does not wait."""

    @app.before_request
    async def hold() -> None:
        if may_change is not None and request.method in CHANGING and request.path not in (SESSION_PATH, QR_PATH):
            await may_change.wait()
