"""Everything that `GET /metrics` shows, walked through when somebody looks.

Whoever counts does so in plain integers of its own and knows nothing of this; here they are read, one place after the
other, in pieces of bounded work between which the loop goes on.
"""

from collections.abc import Iterator
from itertools import chain

from attrs import define, field, frozen
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client import Metric as Family

from mmids_trio.http_api.entrance import HttpCounts
from mmids_trio.metrics.catalog import METRICS
from mmids_trio.metrics.counts import Metric
from mmids_trio.metrics.exposition import Sample, labelled, pieces
from mmids_trio.metrics.sources import Sources
from mmids_trio.metrics.totals import Labels, Totals


@define(eq=False)
class Metrics:
    """All metrics of one server. `registry` is for collectors of `prometheus_client`, also those of one's own."""

    totals: Totals
    sources: Sources
    registry: CollectorRegistry = field(factory=CollectorRegistry, init=False)

    def __attrs_post_init__(self) -> None:
        ProcessCollector(registry=self.registry)

    @property
    def http(self) -> HttpCounts:
        """Where the API counts."""
        return self.sources.http

    def pieces(self) -> Iterator[str]:
        """The text, piece by piece; let others have a turn after each of them, also the empty ones."""
        yield from pieces(METRICS, chain(self._server_samples(), self._place_samples()))
        for family in self.registry.collect():
            yield generate_latest(_Only(family)).decode()

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

    family: Family

    def collect(self) -> list[Family]:
        return [self.family]
