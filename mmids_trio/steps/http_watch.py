"""`http_watch`: serve browsers and players over HTTP what passes by, and pass it on."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from mmids_trio.addresses import AddressRules, IpNetwork, parse_networks
from mmids_trio.config.converters import duration, port_number, text, web_address
from mmids_trio.config.parameters import Secret, flag, parameter, secret_parameter
from mmids_trio.delivery.hls_channel import HlsChannel, Variant
from mmids_trio.delivery.hls_viewers import HlsViewer, HlsViewers
from mmids_trio.guards.guards import Guards
from mmids_trio.late import late
from mmids_trio.media.events import StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.media_memory import MediaMemory
from mmids_trio.metrics.catalog import STEP_WATCHERS
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, UNKNOWN, Client, RequestRefused, Viewing
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.approval import KnownReactor, KnownReactors, PlayAccess, find_reactor, reactor_problems
from mmids_trio.steps.browser_codecs import PLAYED, PLAYED_IN_FLV, BrowserCodecs
from mmids_trio.steps.http_audience import FORMATS, HttpAudience, HttpOptions
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_audience import WatchOptions
from mmids_trio.steps.rtmp_parameters import Gate, RtmpPorts, cluster_problems
from mmids_trio.steps.rtmp_watch import Watchers
from mmids_trio.steps.send_scheduler import SendScheduler
from mmids_trio.steps.sent_counts import sent_counts
from mmids_trio.workflow.status import Clients
from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, Step, StepContext

if TYPE_CHECKING:
    from mmids_trio.steps import edge_watch
    from mmids_trio.steps.edge_pulls import EdgePulls
else:
    edge_watch = late("mmids_trio.steps.edge_watch")  # of clusters; small beside edge_pulls


def formats(value: str) -> tuple[str, ...]:
    """Reads some of `FORMATS`, separated by commas."""
    wanted = tuple(value.split(","))
    if not set(wanted) <= set(FORMATS) or len(set(wanted)) < len(wanted):
        raise ValueError(f"expected some of {', '.join(FORMATS)}, separated by commas")
    return wanted


@frozen
class HttpWatchParameters:
    """`port` of `None`: the server's. `formats` empty: all that there are."""

    app: str = parameter(text)
    stream_key: str = parameter(text)
    port: int | None = parameter(port_number, default=None)
    https: bool = flag()
    formats: tuple[str, ...] = parameter(formats, default=())
    segment_s: float = parameter(duration("500ms", "10s"), name="segment", default=2.0)
    part_s: float = parameter(duration("100ms", "1s"), name="part", default=0.2)
    dvr_s: float = parameter(duration("0s", "12h"), name="dvr", default=0.0)
    play_key: Secret | None = secret_parameter(default=None, in_place=True)
    reactor: str | None = parameter(text, default=None, in_place=True)
    auth_url: str | None = parameter(web_address, default=None, in_place=True)
    allow_ips: tuple[IpNetwork, ...] = parameter(parse_networks, default=(), in_place=True)
    deny_ips: tuple[IpNetwork, ...] = parameter(parse_networks, default=(), in_place=True)
    cluster: bool = flag()

    @property
    def http(self) -> HttpOptions:
        """What is served, and how."""
        return HttpOptions(self.formats or FORMATS, self.segment_s * 1000, self.part_s * 1000, self.dvr_s * 1000)

    def conflicts(self) -> Iterable[str]:
        """What does not go together."""
        if self.allow_ips and self.deny_ips:
            yield "expected 'allow_ips' or 'deny_ips', not both"
        if "?" in self.stream_key:
            yield "'stream_key' cannot have a query: check the query with play_key or a reactor"
        if self.stream_key.endswith((".flv", ".jpg", ".m3u8")):
            yield "'stream_key' cannot end in .flv, .jpg or .m3u8, which addresses end in that say what is wanted"

    @property
    def rules(self) -> AddressRules:
        """Who may watch."""
        return AddressRules(self.allow_ips, self.deny_ips)

    def registration(self, default_port: int) -> Registration:
        """What the step wants to serve."""
        return Registration(
            Role.WATCH,
            port=default_port if self.port is None else self.port,
            app=self.app,
            key=self.stream_key,
            tls=self.https,
            rules=self.rules,
        )


@define(eq=False)
class HttpWatchers:
    """Serves viewers of HTTP-FLV (`watch`) and of HLS (the rest; see `delivery.hls_files.HlsHandler`)."""

    audience: HttpAudience
    watchers: Watchers
    """Who lets them in."""

    @property
    def viewers(self) -> HlsViewers:
        """Those of HLS."""
        return self.audience.viewers

    @property
    def formats(self) -> Sequence[str]:
        """See `HlsHandler`."""
        return [one for one in ("hls", "flv") if one in self.audience.http.formats]

    @property
    def token(self) -> str | None:
        """What kind of token lets viewers in, if one does."""
        return self.watchers.access.name

    async def watch(self, key: str, client: Client, query: Query = NO_QUERY) -> Viewing:
        """See `Watchers`."""
        self._need("flv")
        return await self.watchers.watch(key, client, query)

    async def let_in(self, key: str, client: Client, query: Query) -> Callable[[], None]:
        """Wait until a viewer is approved."""
        return await self.watchers.let_in(key, client, query)

    def begin(self, viewer: HlsViewer) -> None:
        """A viewer of HLS watches from now on."""
        self.audience.begin(viewer)

    async def variants(self, key: str, client: Client) -> Sequence[Variant]:
        """See `HlsHandler`."""
        self._need("hls")
        await self._fetch(key, client)
        channel = self.audience.hls(key)
        if channel is None or not await channel.wait_ready():
            return ()
        return self.audience.variants(key)

    async def _fetch(self, key: str, client: Client) -> None:
        """Have another node's stream come, where no stream of this one has the key."""
        if (edge := self.watchers.edge) is not None:
            edge.want(key, client)
            await edge.wait_shown(key)

    def channel(self, key: str, label: str) -> HlsChannel | None:
        """See `HlsHandler`."""
        return self.audience.rendition(key, label) if label else self.audience.hls(key)

    def stream_id(self, key: str) -> StreamId | None:
        """See `HlsHandler`."""
        return self.audience.served(key)

    def _need(self, what: str) -> None:
        if what not in self.audience.http.formats:
            raise RequestRefused(UNKNOWN[Role.WATCH], f"{what} is not served here", RejectReason.UNKNOWN_NAME)


@frozen
class HttpWatch:
    """See the module. `find` raises `StepError` for a reactor that is gone."""

    registration: Registration
    parameters: HttpWatchParameters
    options: WatchOptions
    approval_by: Callable[[HttpWatchParameters], tuple[KnownReactor | None, PlayAccess]]
    server: RtmpPorts
    memory: MediaMemory
    now: Callable[[], float]
    entropy: Callable[[int], bytes]
    pulls: "EdgePulls | None"
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        viewers = HlsViewers(self.entropy)
        http = self.parameters.http
        audience = HttpAudience(
            self.registration.key, self.options, http=http, memory=self.memory, now=self.now, viewers=viewers
        )
        scheduler = SendScheduler(audience, self.options.send_interval_ms / 1000)
        edge = (
            None
            if self.pulls is None
            else edge_watch.edge_of(self.registration.app, audience, self.options, self.pulls, self.context)
        )
        self.context.show_clients(lambda: Clients(watchers=audience.size))
        self.context.show_counts(
            lambda: {
                (STEP_WATCHERS, ()): audience.size,
                **sent_counts(audience.counters()),
                **scheduler.counts(),
            }
        )
        codecs = BrowserCodecs(PLAYED if "hls" in http.formats else PLAYED_IN_FLV)
        self.context.show_troubles(codecs.troubles)
        gate = Gate(self.registration, self.server, "https" if self.registration.tls else "http")
        watchers = Watchers(audience, *self.approval_by(self.parameters), gate.request, edge)
        async with self.server.serve(self.registration, self.context, HttpWatchers(audience, watchers)) as service:

            def change(parameters: HttpWatchParameters) -> ChangeInPlace:
                approval = self.approval_by(parameters)

                def take() -> Callable[[], None]:
                    undo = ExitStack()
                    undo.callback(service.take_rules(parameters.rules))
                    undo.callback(watchers.take_approval(*approval))
                    return undo.close

                return ChangeInPlace(take, service.dismiss_excluded)

            self.context.accept_parameters(change, lambda parameters: audience.count_excluded(parameters.rules))
            task_status.started()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(audience.keep_time)
                    if edge is not None:
                        nursery.start_soon(edge.run)
                    while True:
                        events = await scheduler.next_events(inbox)
                        codecs.note(events)
                        await scheduler.feed_and_send(events)
                        if events:
                            await outbox.send(events)
            finally:
                audience.close()


def http_watch(  # noqa: PLR0917  (what a server has, once)
    server: RtmpPorts,
    default_port: int,
    reactors: KnownReactors,
    now: Callable[[], float],
    entropy: Callable[[int], bytes],
    options: WatchOptions,
    memory: MediaMemory,
    guards: Guards,
    pulls: "EdgePulls | None",
) -> StepType:
    """The kind of step, whose port is `default_port` where it names none.

    `now`: Unix time in seconds; `entropy`: so many random bytes.  `pulls`: those from other nodes of a cluster.
    """

    def problems(parameters: HttpWatchParameters) -> Iterable[str]:
        yield from parameters.conflicts()
        yield from reactor_problems(parameters.reactor, reactors)
        yield from cluster_problems(parameters.cluster, pulls)

    def approval_by(parameters: HttpWatchParameters) -> tuple[KnownReactor | None, PlayAccess]:
        return find_reactor(parameters.reactor, reactors), PlayAccess(
            parameters.play_key, now, guards.of_step(parameters.auth_url)
        )

    def build(parameters: HttpWatchParameters, context: StepContext) -> Step:
        registration = parameters.registration(default_port)
        find_reactor(parameters.reactor, reactors)
        wanted = pulls if parameters.cluster else None
        return HttpWatch(registration, parameters, options, approval_by, server, memory, now, entropy, wanted, context)

    return StepType(
        "http_watch",
        HttpWatchParameters,
        build,
        conflicts=problems,
        announce=lambda parameters: server.expect(parameters.registration(default_port)),
    )
