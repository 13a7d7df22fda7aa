"""What a metric is, and what somebody who has something to show says: plain values by metric.

Nothing is told to anybody while the server works: objects count in plain integers, and are asked when somebody looks.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from attrs import frozen

from mmids_trio.metrics.distribution import Distribution


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


def lasting(counts: Counts) -> dict[Series, Value]:
    """What still counts when whatever was counted is gone: all but gauges."""
    return {series: value for series, value in counts.items() if series[0].kind is not Kind.GAUGE}
