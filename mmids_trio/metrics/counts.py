"""What a metric is, and what somebody who has something to show says: plain values by metric.

Nothing is told to anybody while the server works: objects count in plain integers, and are asked when somebody looks.
A histogram is a list of numbers and one search, since it is filled on the hot path: `prometheus_client`'s takes a lock
and a chain of objects for each duration, 1.5 µs; this takes 0.2 µs and is a plain value that can be copied and summed.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from enum import Enum

from attrs import Factory, define, frozen

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds. A pass over one watcher takes some 10 µs, one over 2,000 some 20 ms; a loop that is held up for a
second has stopped everything."""


@define(eq=False)
class Distribution:
    """How many durations fell between which bounds, and their sum; in seconds."""

    bounds: tuple[float, ...] = SECONDS
    counts: list[int] = Factory(lambda self: [0] * (len(self.bounds) + 1), takes_self=True)
    """One for each bound (not cumulative), then those above all."""
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def __add__(self, other: "Distribution") -> "Distribution":
        """Both together; the bounds must be the same."""
        counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        return Distribution(self.bounds, counts, self.total + other.total)

    def __sub__(self, earlier: "Distribution") -> "Distribution":
        """What has come since; the bounds must be the same."""
        counts = [mine - theirs for mine, theirs in zip(self.counts, earlier.counts, strict=True)]
        return Distribution(self.bounds, counts, self.total - earlier.total)


class Kind(Enum):
    """What a value means; the words are those of Prometheus."""

    COUNTER = "counter"
    """It only grows, over the ends of whatever it counts."""
    GAUGE = "gauge"
    """As it is now."""
    HISTOGRAM = "histogram"
    """A `Distribution`; its parts only grow."""


@frozen
class Metric:
    """One family of series, by the conventions of Prometheus: base units, `_total` behind the name of a counter."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


Value = int | float | Distribution

Series = tuple[Metric, tuple[str, ...]]
"""A metric, and values for the last of its labels; the first ones are those of the place that it is counted in."""

Counts = Mapping[Series, Value]

ReadCounts = Callable[[], Counts]
"""Says how things stand; synchronous, and quick."""


def count_nothing() -> Counts:
    """For who has nothing to show."""
    return {}


def total(first: Counts, second: Counts) -> dict[Series, Value]:
    """Both together."""
    result = dict(first)
    for series, value in second.items():
        known = result.get(series)
        result[series] = value if known is None else _sum(known, value)
    return result


def _sum(first: Value, second: Value) -> Value:
    if isinstance(first, Distribution) and isinstance(second, Distribution):
        return first + second
    assert not isinstance(first, Distribution)
    assert not isinstance(second, Distribution)
    return first + second


def since(earlier: Counts, now: Counts) -> dict[Series, Value]:
    """What has come, where `earlier` has been counted already."""
    return {series: value if series not in earlier else _since(earlier[series], value) for series, value in now.items()}


def _since(earlier: Value, now: Value) -> Value:
    if isinstance(earlier, Distribution) and isinstance(now, Distribution):
        return now - earlier
    assert not isinstance(earlier, Distribution)
    assert not isinstance(now, Distribution)
    return now - earlier


def lasting(counts: Counts) -> dict[Series, Value]:
    """What still counts when whatever was counted is gone: all but gauges, as they are now."""
    return {series: _as_now(value) for series, value in counts.items() if series[0].kind is not Kind.GAUGE}


def _as_now(value: Value) -> Value:
    return value + Distribution(value.bounds) if isinstance(value, Distribution) else value
