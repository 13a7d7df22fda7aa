"""Prometheus' text format, version 0.0.4, in pieces of bounded work.

`prometheus_client.generate_latest` makes 10,000 series in one go, for 120 ms; in a thread it would still hold the
interpreter's lock, which stretches a pass over 200 watchers from 0.6 to 114 ms.  Here whoever renders gets the word
back after every `SERIES_PER_PIECE` series, and a line costs some 1 µs, since what its labels look like is made once for
all metrics of a place.  `prometheus_client`'s own parser reads the result in the tests.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmids_trio.metrics.counts import Distribution, Metric, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SERIES_PER_PIECE = 250
"""Lines between two turns of others: half a millisecond."""

Sample = tuple[Metric, str, Value]
"""One series (a histogram is several): its metric, its labels as `labelled` writes them, its value."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def labelled(names: Sequence[str], values: Sequence[str]) -> str:
    """Labels as they stand between the braces."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))


def pieces(metrics: Sequence[Metric], samples: Iterable[Sample]) -> Iterator[str]:
    """The whole exposition. The samples come in any order; pieces are empty while they are being looked at."""
    families: dict[Metric, list[str]] = {metric: [] for metric in metrics}
    lines = 0
    for metric, labels, value in samples:
        family = families.get(metric)
        if family is None:
            family = families[metric] = []
        before = len(family)
        _write(family, metric.name, labels, value)
        lines += len(family) - before
        if lines >= SERIES_PER_PIECE:
            lines = 0
            yield ""
    yield from _joined(families)


def _joined(families: Mapping[Metric, Sequence[str]]) -> Iterator[str]:
    """Everything, in pieces of as many lines."""
    piece: list[str] = []
    for metric, lines in families.items():
        piece.append(f"# HELP {metric.name} {metric.help.translate(_HELP_ESCAPES)}\n")
        piece.append(f"# TYPE {metric.name} {metric.kind.value}\n")
        for start in range(0, len(lines), SERIES_PER_PIECE):
            piece += lines[start : start + SERIES_PER_PIECE]
            if len(piece) >= SERIES_PER_PIECE:
                yield "".join(piece)
                piece = []
    yield "".join(piece)


def _write(family: list[str], name: str, labels: str, value: Value) -> None:
    if isinstance(value, Distribution):
        _write_distribution(family, name, labels, value)
    elif labels:
        family.append(f"{name}{{{labels}}} {value}\n")
    else:
        family.append(f"{name} {value}\n")


def _write_distribution(family: list[str], name: str, labels: str, value: Distribution) -> None:
    before = f"{labels}," if labels else ""
    below = 0
    for bound, count in zip((*value.bounds, "+Inf"), value.counts, strict=True):
        below += count
        family.append(f'{name}_bucket{{{before}le="{bound}"}} {below}\n')
    braces = f"{{{labels}}}" if labels else ""
    family.append(f"{name}_sum{braces} {value.total}\n")
    family.append(f"{name}_count{braces} {below}\n")
