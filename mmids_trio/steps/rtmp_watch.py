"""`rtmp_watch`: serve RTMP players what passes by, and pass it on."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from mmids_trio.config.converters import switch, whole_number
from mmids_trio.config.parameters import Secret, flag, parameter, secret_parameter
from mmids_trio.config.settings import LONGEST_SEND_INTERVAL, LONGEST_WATCHER_LAG
from mmids_trio.fanout.channel import Channel
from mmids_trio.guards.guards import Guards
from mmids_trio.late import late
from mmids_trio.media.flow import Flow
from mmids_trio.media_memory import MediaMemory
from mmids_trio.metrics.catalog import STEP_WATCHERS
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, Client, RequestRefused, Viewing
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.approval import (
    PLAY_DENIED,
    AsRequest,
    KnownReactor,
    KnownReactors,
    PlayAccess,
    Release,
    approved,
    find_reactor,
    let_in,
    plain_request,
)
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_audience import Audience, WatchOptions
from mmids_trio.steps.rtmp_parameters import Gate, RtmpParameters, RtmpPorts, cluster_problems, rtmp_conflicts
from mmids_trio.steps.send_scheduler import SendScheduler
from mmids_trio.steps.sent_counts import sent_counts
from mmids_trio.workflow.status import Clients
from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, Step, StepContext

if TYPE_CHECKING:
    from mmids_trio.steps import edge_watch
    from mmids_trio.steps.edge_pulls import EdgePulls
    from mmids_trio.steps.edge_watch import EdgeWatch
else:
    edge_watch = late("mmids_trio.steps.edge_watch")  # of clusters; small beside edge_pulls


@frozen
class WatchParameters(RtmpParameters):
    """Of `rtmp_watch`; of the three before the last, the server's settings hold where one is not given."""

    play_key: Secret | None = secret_parameter(default=None, in_place=True)
    send_interval_ms: int | None = parameter(
        whole_number(0, LONGEST_SEND_INTERVAL, " of milliseconds"), name="send_interval", default=None, in_place=True
    )
    gop_cache: bool | None = parameter(switch, default=None, in_place=True)
    max_lag_s: int | None = parameter(
        whole_number(1, LONGEST_WATCHER_LAG, " of seconds"), name="max_lag", default=None, in_place=True
    )
    cluster: bool = flag()

    def options(self, defaults: WatchOptions) -> WatchOptions:
        """Those of a server, but for what the step says itself."""
        return WatchOptions(
            defaults.send_interval_ms if self.send_interval_ms is None else self.send_interval_ms,
            defaults.gop_cache if self.gop_cache is None else self.gop_cache,
            defaults.max_lag_s if self.max_lag_s is None else self.max_lag_s,
        )


@frozen(eq=False)
class Viewed:
    """See `rtmp.server.endpoints.Viewing`."""

    channel: Channel
    end: Release
    token: str | None


@define(eq=False)
class Watchers:
    """Lets watchers in; see `rtmp.server.endpoints.WatchHandler`. Who approves of newcomers may change."""

    audience: Audience
    reactor: KnownReactor | None
    access: PlayAccess = field(factory=PlayAccess)
    as_request: AsRequest = plain_request
    edge: "EdgeWatch | None" = None
    """What brings keys that other nodes have."""

    def take_approval(self, reactor: KnownReactor | None, access: PlayAccess) -> Callable[[], None]:
        """Have newcomers approved like this from now on; returns what takes that back."""
        before = self.reactor, self.access
        self._approve_by(reactor, access)
        return partial(self._approve_by, *before)

    def _approve_by(self, reactor: KnownReactor | None, access: PlayAccess) -> None:
        self.reactor, self.access = reactor, access

    async def watch(self, key: str, client: Client, query: Query = NO_QUERY) -> Viewing:
        """Let a watcher in, once it is approved. Its token has to be good when it begins, and not until it ends."""
        edge = self.edge
        if edge is not None and (peer := edge.admit_peer(key, client, query)) is not None:
            return peer
        token = self.access.name
        release = await self.let_in(key, client, query)
        try:
            self.want(key, client)
        except RequestRefused:
            release()
            raise
        return Viewed(self.audience.channel(key), release, token)

    def want(self, key: str, client: Client) -> None:
        """Somebody who was let in is about to watch a key. Raises `RequestRefused`."""
        if self.edge is not None:
            self.edge.want(key, client)

    async def let_in(self, key: str, client: Client, query: Query) -> Release:
        """Wait until a watcher is approved; raises `RequestRefused`."""
        request = self.as_request("watch", key, self.access.rest(query), client)
        await let_in(self.access, request, query, client, PLAY_DENIED)
        return await approved(self.reactor, request, client, client.dismiss, PLAY_DENIED)


@frozen
class WatchTerms:
    """What may change while watchers are here, besides the addresses that they may come from."""

    options: WatchOptions
    reactor: KnownReactor | None
    access: PlayAccess


@frozen
class RtmpWatch:
    """See the module. `terms_of` raises `StepError` for a reactor that is gone."""

    registration: Registration
    terms: WatchTerms
    terms_of: Callable[[WatchParameters], WatchTerms]
    server: RtmpPorts
    memory: MediaMemory
    pulls: "EdgePulls | None"
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        options = self.terms.options
        audience = Audience(self.registration.key, options, memory=self.memory)
        scheduler = SendScheduler(audience, options.send_interval_ms / 1000)
        edge = (
            None
            if self.pulls is None
            else edge_watch.edge_of(self.registration.app, audience, options, self.pulls, self.context)
        )
        self.context.show_clients(lambda: Clients(watchers=audience.size))
        self.context.show_counts(
            lambda: {
                (STEP_WATCHERS, ()): audience.size,
                **sent_counts(audience.counters()),
                **scheduler.counts(),
            }
        )
        gate = Gate(self.registration, self.server, "rtmps" if self.registration.tls else "rtmp")
        watchers = Watchers(audience, self.terms.reactor, self.terms.access, gate.request, edge)
        async with self.server.serve(self.registration, self.context, watchers) as service:

            def change(parameters: WatchParameters) -> ChangeInPlace:
                terms = self.terms_of(parameters)

                def take() -> Callable[[], None]:
                    undo = ExitStack()
                    undo.callback(service.take_rules(parameters.rules))
                    undo.callback(watchers.take_approval(terms.reactor, terms.access))
                    undo.callback(audience.take_options(terms.options))
                    for each in (scheduler,) if edge is None else (scheduler, edge.scheduler):
                        undo.callback(each.take_interval(terms.options.send_interval_ms / 1000))
                    return undo.close

                return ChangeInPlace(take, service.dismiss_excluded)

            self.context.accept_parameters(change, lambda parameters: audience.count_excluded(parameters.rules))
            task_status.started()
            try:
                async with trio.open_nursery() as nursery:
                    if edge is not None:
                        nursery.start_soon(edge.run)
                    while True:
                        events = await scheduler.next_events(inbox)
                        await scheduler.feed_and_send(events)
                        if events:
                            await outbox.send(events)
            finally:
                audience.close()


def rtmp_watch(  # noqa: PLR0917  (what a server has, once)
    server: RtmpPorts,
    reactors: KnownReactors,
    now: Callable[[], float],
    defaults: WatchOptions,
    memory: MediaMemory,
    guards: Guards,
    pulls: "EdgePulls | None",
) -> StepType:
    """The kind of step, on a server whose settings are `defaults`, which charges what it holds to `memory`.

    `now`: Unix time in seconds, against which play tokens expire.  `pulls`: those from other nodes of a cluster.
    """

    def problems(parameters: WatchParameters) -> Iterable[str]:
        yield from rtmp_conflicts(reactors)(parameters)
        yield from cluster_problems(parameters.cluster, pulls)

    def terms_of(parameters: WatchParameters) -> WatchTerms:
        access = PlayAccess(parameters.play_key, now, guards.of_step(parameters.auth_url))
        return WatchTerms(parameters.options(defaults), find_reactor(parameters.reactor, reactors), access)

    def build(parameters: WatchParameters, context: StepContext) -> Step:
        registration = parameters.registration(Role.WATCH)
        wanted = pulls if parameters.cluster else None
        return RtmpWatch(registration, terms_of(parameters), terms_of, server, memory, wanted, context)

    return StepType(
        "rtmp_watch",
        WatchParameters,
        build,
        conflicts=problems,
        announce=lambda parameters: server.expect(parameters.registration(Role.WATCH)),
    )
