"""Everything that `GET /metrics` shows, walked through when somebody looks.

Whoever counts does so in plain integers of its own and knows nothing of this; here they are read, one place after the
other, in pieces of bounded work between which the loop goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from mmids_trio.ffmpeg.capacity import Capacity
from mmids_trio.ffmpeg.ended_files import EndedFiles
from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.http_api.counts import HttpCounts
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.late import late
from mmids_trio.media_memory import MediaMemory
from mmids_trio.metrics import catalog
from mmids_trio.metrics.counts import Distribution, Metric, Value
from mmids_trio.metrics.exposition import Sample, labelled, pieces
from mmids_trio.metrics.loop import LoopLag
from mmids_trio.metrics.totals import Labels, Totals
from mmids_trio.rtmp.server.session import Traffic
from mmids_trio.server.draining import Draining
from mmids_trio.server.logs import Logging
from mmids_trio.server.stream_metrics import StreamMetrics
from mmids_trio.workflow.events import HubEvent, ReactorAnswered
from mmids_trio.workflow.hub import EventHub

if TYPE_CHECKING:
    import prometheus_client

    from mmids_trio.server.cluster_part import ClusterPart
else:
    prometheus_client = late("prometheus_client")

Reading = tuple[Metric, tuple[str, ...], Value]
"""A metric, the values of all its labels, and how it stands."""


@define(eq=False)
class AnswerCounts:
    """Answers of reactors, counted by reactor and result. `note` is a listener of the hub, and counts those."""

    counts: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    """By reactor and result: `valid`, `invalid` or `failed`."""

    def note(self, event: HubEvent) -> None:
        """Count an event, if it is an answer."""
        if isinstance(event, ReactorAnswered):
            result = "failed" if event.error is not None else "valid" if event.valid else "invalid"
            self.counts[event.reactor, result] += 1


class CountedServer(Protocol):
    """The RTMP server, or that for media over HTTP, as far as it is looked at."""

    @property
    def connections(self) -> int:
        """How many are open."""

    def traffic(self) -> Traffic:
        """What clients have done so far."""


@frozen(kw_only=True)
class Sources:
    """The parts of one server that count what belongs to no workflow; they are read one by one."""

    version: str
    rtmp: CountedServer
    media: CountedServer
    """Serves media over HTTP."""
    rejections: Mapping[str, int]
    workflows: Callable[[], Sequence[str]]
    """Their names."""
    leases: Callable[[], Mapping[str, int]]
    """By reactor."""
    reloads: Callable[[], Mapping[str, int]]
    """By result."""
    questions: Callable[[], Mapping[str, int]]
    """By reactor."""
    events: EventFeed
    webhook: Callable[[], int]
    """Events for which another one stands in its queue."""
    hub: EventHub
    children: Capacity
    thumbnails: Thumbnails
    ended_files: EndedFiles
    memory: MediaMemory
    draining: Draining
    cluster: "ClusterPart | None" = None
    pulls: Sized | None = None
    """What is fetched from other nodes of the cluster."""
    log: Logging = field(factory=Logging)
    answers: AnswerCounts = field(factory=AnswerCounts)
    http: HttpCounts = field(factory=HttpCounts)
    lag: LoopLag = field(factory=LoopLag)

    def read(self) -> Iterator[Reading]:
        """How all of them stand; each is read in one go."""
        yield catalog.BUILD_INFO, (self.version,), 1
        yield catalog.LOOP_LAG, (), self.lag.durations
        yield catalog.WORKFLOWS, (), len(self.workflows())
        yield from self._rtmp()
        yield from self._children()
        yield catalog.MEDIA_BYTES, (), self.memory.held
        yield from self._reactors()
        for result, count in self.reloads().items():
            yield catalog.RELOADS, (result,), count
        yield from self._http()
        yield catalog.EVENT_CLIENTS, (), self.events.streams
        yield catalog.EVENTS_JOINED, ("history",), self.events.history.queue.joined
        yield catalog.EVENTS_JOINED, ("webhook",), self.webhook()
        yield catalog.EVENTS_MISSED, (), self.hub.missed
        yield catalog.DRAINING, (), int(self.draining.is_draining)
        if self.cluster is not None:
            yield from _of_cluster(self.cluster, self.pulls or ())
        yield catalog.LOG_LEFT_OUT, (), self.log.repeats.left_out
        yield catalog.LOG_DROPPED, (), self.log.files.dropped_bytes
        yield catalog.LOG_LOST, (), self.log.files.lost_lines

    def _rtmp(self) -> Iterator[Reading]:
        traffic = self.rtmp.traffic()
        yield catalog.CONNECTIONS, (), self.rtmp.connections
        yield catalog.ACCEPTED, (), traffic.accepted
        yield catalog.MEDIA_CONNECTIONS, (), self.media.connections
        yield catalog.RECEIVED, (), traffic.received_bytes
        yield catalog.IGNORED, (), traffic.ignored
        yield catalog.ABANDONED, (), traffic.abandoned
        for oddity, count in traffic.oddities.items():
            yield catalog.ODDITIES, (oddity.value,), count
        for reason, count in self.rejections.items():
            yield catalog.TURNED_AWAY, (reason,), count

    def _children(self) -> Iterator[Reading]:
        yield catalog.CHILDREN, (), self.children.running
        yield catalog.CHILDREN_WAITING, (), self.children.waiting
        yield catalog.ENCODE_RATE, (), self.children.encode_rate
        for delay, count in self.children.delays.items():
            yield catalog.CHILD_DELAYS, (delay.value,), count
        for result, count in self.thumbnails.counts.items():
            yield catalog.THUMBNAILS, (result.value,), count
        yield catalog.ENDED_FILES, (), self.ended_files.kept
        for kind, count in self.ended_files.deleted.items():
            yield catalog.FILES_DELETED, (kind.value,), count

    def _reactors(self) -> Iterator[Reading]:
        for reactor, count in self.leases().items():
            yield catalog.REACTOR_LEASES, (reactor,), count
        for reactor, count in self.questions().items():
            yield catalog.REACTOR_QUESTIONS, (reactor,), count
        for labels, count in sorted(self.answers.counts.items()):
            yield catalog.REACTOR_ANSWERS, labels, count

    def _http(self) -> Iterator[Reading]:
        yield catalog.HTTP_CONNECTIONS, (), self.http.connections
        for labels, count in sorted(self.http.requests.items()):
            yield catalog.HTTP_REQUESTS, labels, count


@define(eq=False)
class ServerMetrics:
    """All metrics of one server."""

    totals: Totals
    sources: Sources
    streams: StreamMetrics
    _registry: "prometheus_client.CollectorRegistry | None" = field(default=None, init=False)

    @property
    def registry(self) -> "prometheus_client.CollectorRegistry":
        """For collectors of `prometheus_client`, also those of one's own."""
        if self._registry is None:
            self._registry = prometheus_client.CollectorRegistry()
            prometheus_client.ProcessCollector(registry=self._registry)
        return self._registry

    @property
    def http(self) -> HttpCounts:
        """Where the API counts."""
        return self.sources.http

    def pieces(self) -> Iterator[str]:
        """The text, piece by piece; let others have a turn after each of them, also the empty ones."""
        for _ in self.streams.gather():
            yield ""
        samples = chain(self._server_samples(), self.streams.samples(), self._place_samples())
        yield from pieces(catalog.METRICS, samples)
        for family in self.registry.collect():
            yield prometheus_client.generate_latest(_Only(family)).decode()

    def of_steps(self, workflow: str) -> Mapping[str, Mapping[str, float]]:
        """See `http_api.control.Metrics`."""
        return {
            step_id: {
                metric.name: value for (metric, _), value in counts.items() if not isinstance(value, Distribution)
            }
            for (_, step_id, _), counts in self.totals.of_workflow(workflow)
            if step_id
        }

    def _server_samples(self) -> Iterator[Sample]:
        for metric, values, value in self.sources.read():
            yield metric, labelled(metric.labels, values), value

    def _place_samples(self) -> Iterator[Sample]:
        for place, counts in self.totals.walk():
            labels = _Labels(place)
            for (metric, more), value in counts.items():
                yield metric, labels.of(metric, more), value


@define(eq=False)
class _Labels:
    """What the labels of one place look like: made once for all its metrics."""

    place: Labels
    _made: dict[tuple[str, ...], str] = field(factory=dict, init=False)
    """By the labels that come from the place."""

    def of(self, metric: Metric, more: tuple[str, ...]) -> str:
        own = len(metric.labels) - len(more)
        names = metric.labels[:own]
        text = self._made.get(names)
        if text is None:
            text = self._made[names] = labelled(names, self.place[:own])
        return f"{text},{labelled(metric.labels[own:], more)}" if more else text


@frozen
class _Only:
    """A registry of one family."""

    family: "prometheus_client.Metric"

    def collect(self) -> "list[prometheus_client.Metric]":
        return [self.family]


def _of_cluster(part: "ClusterPart", pulls: Sized) -> Iterator[Reading]:
    cluster, fleet = part.member, part.fleet
    yield catalog.CLUSTER_INFO, (cluster.cluster, cluster.node), 1
    yield catalog.CLUSTER_REVISION, (), fleet.serves
    yield catalog.CLUSTER_FAILED, (), 1 if fleet.reasons else 0
    yield catalog.CLUSTER_PULLS, (), len(pulls)
    yield catalog.CLUSTER_REGISTRY, (), 0 if cluster.contact.is_away else 1
    for question, count in cluster.contact.questions.items():
        yield catalog.CLUSTER_QUESTIONS, (question,), count
    for question, count in cluster.contact.failures.items():
        yield catalog.CLUSTER_FAILURES, (question,), count
    yield catalog.CLUSTER_KEYS, (), len(cluster.holdings)
    yield catalog.CLUSTER_FOLLOWED, (), len(cluster.followings)
    for outcome, count in cluster.holdings.outcomes.items():
        yield catalog.CLUSTER_CLAIMS, (outcome,), count
