"""Prometheus' text format: Prometheus' own parser reads it, and it is made in pieces of bounded work."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mmids_trio.metrics.catalog import LOOP_LAG, METRICS, STEP_EVENTS, STEP_PASS, STEP_WATCHERS
from mmids_trio.metrics.counts import Distribution, Kind, Metric
from mmids_trio.metrics.exposition import SERIES_PER_PIECE, Sample, labelled, pieces

Labels = tuple[tuple[str, str], ...]
PLAIN = Metric("mmids_plain_total", Kind.COUNTER, 'A "help"\nof two lines, with a \\.', ("name",))


def parsed(
    *samples: Sample, metrics: tuple[Metric, ...] = (PLAIN,)
) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Values by name and labels, as Prometheus sees them."""
    text = "".join(pieces(metrics, samples))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.text(), st.integers(0, 2**53))
def test_any_label_and_any_number_arrive(name: str, value: int) -> None:
    assert parsed((PLAIN, labelled(["name"], [name]), value)) == {(PLAIN.name, (("name", name),)): float(value)}


def test_a_help_text_arrives() -> None:
    [family] = text_string_to_metric_families("".join(pieces((PLAIN,), [])))
    assert (family.documentation, family.type) == (PLAIN.help, "counter")


def test_a_distribution_becomes_growing_buckets() -> None:
    durations = Distribution((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        durations.observe(seconds)
    found = parsed((LOOP_LAG, "", durations), metrics=(LOOP_LAG,))
    buckets = {labels[0][1]: value for (name, labels), value in found.items() if name.endswith("_bucket")}
    assert buckets == {"0.1": 2.0, "1.0": 3.0, "+Inf": 4.0}
    assert found["mmids_loop_lag_seconds_count", ()] == 4.0
    assert found["mmids_loop_lag_seconds_sum", ()] == 7.65


def many(count: int) -> Iterator[Sample]:
    durations = Distribution()
    for number in range(count):
        labels = labelled(STEP_EVENTS.labels, [f"workflow {number}", str(number), "rtmp_watch"])
        yield STEP_EVENTS, labels, number
        yield STEP_WATCHERS, labels, 1
        yield STEP_PASS, labels, durations


def test_no_piece_is_more_work_than_so_many_series() -> None:
    """Between two pieces others have a turn: neither reads nor writes pile up, however many series there are."""
    read = 0

    def counted() -> Iterator[Sample]:
        nonlocal read
        for sample in many(600):
            read += len(sample[2].counts) + 2 if isinstance(sample[2], Distribution) else 1
            yield sample

    most_read, before, lines = 0, 0, 0
    for piece in pieces(METRICS, counted()):
        most_read, before = max(most_read, read - before), read
        assert len(piece.splitlines()) < 2 * SERIES_PER_PIECE + 2 * len(METRICS)
        lines += len(piece.splitlines())
    assert read > 10_000
    assert lines == read + 2 * len(METRICS)
    assert most_read < SERIES_PER_PIECE + 20


@pytest.mark.thorough
def test_each_family_stands_in_one_place_though_samples_come_by_step() -> None:
    text = "".join(pieces(METRICS, many(300)))
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names)) == len(METRICS)


def test_names_follow_the_conventions() -> None:
    for metric in METRICS:
        assert metric.name.startswith("mmids_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_seconds") == (metric.kind is Kind.HISTOGRAM)
        assert metric.help.endswith(".")
    assert len({metric.name for metric in METRICS}) == len(METRICS)
