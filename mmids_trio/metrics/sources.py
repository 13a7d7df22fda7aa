"""Where the metrics of a server come from that do not belong to a workflow: its parts, read one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from mmids_trio.http_api.entrance import HttpCounts
from mmids_trio.http_api.event_feed import EventFeed
from mmids_trio.metrics import catalog
from mmids_trio.metrics.answers import AnswerCounts
from mmids_trio.metrics.counts import Metric, Value
from mmids_trio.metrics.loop import LoopLag
from mmids_trio.rtmp.server.session import Traffic
from mmids_trio.workflow.hub import EventHub

Reading = tuple[Metric, tuple[str, ...], Value]
"""A metric, the values of all its labels, and how it stands."""


class RtmpServer(Protocol):
    """The RTMP server, as far as it is looked at."""

    @property
    def connections(self) -> int:
        """How many are open."""

    def traffic(self) -> Traffic:
        """What clients have done so far."""


@frozen(kw_only=True)
class Sources:
    """The parts of one server. Functions are asked each time, as some parts come later than others."""

    version: str
    rtmp: RtmpServer
    guards: Mapping[str, int]
    workflows: Callable[[], Sequence[str]]
    """Their names."""
    leases: Callable[[], Mapping[str, int]]
    """By reactor."""
    events: EventFeed
    hub: EventHub
    answers: AnswerCounts = field(factory=AnswerCounts)
    http: HttpCounts = field(factory=HttpCounts)
    lag: LoopLag = field(factory=LoopLag)

    def read(self) -> Iterator[Reading]:
        """How all of them stand; each is read in one go."""
        yield catalog.BUILD_INFO, (self.version,), 1
        yield catalog.LOOP_LAG, (), self.lag.durations
        yield catalog.WORKFLOWS, (), len(self.workflows())
        yield from self._rtmp()
        yield from self._reactors()
        yield from self._http()
        yield catalog.EVENT_CLIENTS, (), self.events.streams
        yield catalog.EVENTS_MISSED, (), self.hub.missed

    def _rtmp(self) -> Iterator[Reading]:
        traffic = self.rtmp.traffic()
        yield catalog.CONNECTIONS, (), self.rtmp.connections
        yield catalog.ACCEPTED, (), traffic.accepted
        yield catalog.RECEIVED, (), traffic.received_bytes
        yield catalog.IGNORED, (), traffic.ignored
        yield catalog.ABANDONED, (), traffic.abandoned
        for reason, count in self.guards.items():
            yield catalog.TURNED_AWAY, (reason,), count

    def _reactors(self) -> Iterator[Reading]:
        for reactor, count in self.leases().items():
            yield catalog.REACTOR_LEASES, (reactor,), count
        for labels, count in sorted(self.answers.counts.items()):
            yield catalog.REACTOR_ANSWERS, labels, count

    def _http(self) -> Iterator[Reading]:
        yield catalog.HTTP_CONNECTIONS, (), self.http.connections
        for labels, count in sorted(self.http.requests.items()):
            yield catalog.HTTP_REQUESTS, labels, count
