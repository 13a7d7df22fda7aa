"""Medians, ratios of runs that alternated, percentiles, verdicts, doubts."""

import pytest

from benchmarks.figures import (
    Check,
    Histogram,
    Run,
    Target,
    coarse,
    difference_of,
    doubts,
    median_of,
    most_others,
    percentile,
    percentile_of,
    ratio_of,
    summed,
)

HISTOGRAM: Histogram = [(1.0, 50), (2.0, 49), (9.0, 1)]


def run(subject: str, number: int, cost: float) -> Run:
    return Run(subject, number, {"cost": cost})


def test_a_difference_is_that_within_rounds() -> None:
    runs = [Run("a", 0, {"x": 12.0}), Run("b", 0, {"x": 10.0}), Run("a", 1, {"x": 95.0}), Run("b", 1, {"x": 90.0})]
    assert difference_of([*runs, Run("a", 2, {"x": 1.0})], "a", "b", "x") == 3.5
    assert difference_of(runs[:1], "a", "b", "x") is None


def test_the_median_is_that_of_one_subject_over_the_rounds() -> None:
    runs = [run("a", 0, 5), run("b", 0, 100), run("a", 1, 1), run("a", 2, 3)]
    assert median_of(runs, "a", "cost") == 3
    assert median_of(runs, "c", "cost") is None
    assert median_of(runs, "a", "other") is None


def test_a_ratio_compares_within_rounds_so_that_a_slow_machine_hits_both() -> None:
    runs = [run("a", 0, 1), run("b", 0, 2), run("a", 1, 10), run("b", 1, 20), run("a", 2, 3), run("b", 2, 30)]
    assert ratio_of(runs, "a", "b", "cost") == 0.5


def test_a_round_in_which_one_is_missing_gives_no_ratio() -> None:
    runs = [run("a", 0, 1), run("a", 1, 9), run("b", 1, 3)]
    assert ratio_of(runs, "a", "b", "cost") == 3
    assert ratio_of(runs[:1], "a", "b", "cost") is None


@pytest.mark.parametrize(("part", "expected"), [(0.5, 1.0), (0.51, 2.0), (0.99, 2.0), (0.999, 9.0), (1.0, 9.0)])
def test_a_percentile_is_the_end_of_its_interval(part: float, expected: float) -> None:
    assert percentile(HISTOGRAM, part) == expected


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile([], 0.99) == 0
    assert percentile_of([3.0, 1.0, 2.0], 0.5) == 2.0


def test_histograms_add_up_where_their_intervals_are_the_same() -> None:
    assert summed([HISTOGRAM, [(2.0, 1), (4.0, 5)]]) == [(1.0, 50), (2.0, 50), (4.0, 5), (9.0, 1)]


def test_a_coarse_histogram_has_all_counts_at_ends_of_two_digits() -> None:
    fine = [(0.02, 1), (0.24, 2), (10.02, 3), (10.98, 4), (11.0, 5), (999.98, 6)]
    assert coarse(fine) == ((0.02, 1), (0.24, 2), (11.0, 12), (1000.0, 6))


@pytest.mark.parametrize(
    ("measured", "verdict"), [(None, "not measured"), (1.0, "met"), (1.05, "met"), (1.06, "missed")]
)
def test_a_target_is_met_within_its_tolerance(measured: float | None, verdict: str) -> None:
    assert Check(Target("cost", 1.0, "x", tolerance=0.05), measured).verdict == verdict


def test_a_run_that_was_too_much_for_the_load_or_the_server_is_doubted() -> None:
    fine = {"load_percent": 50.0, "mbit_per_watcher": 2.6}
    assert doubts(Run("a", 0, fine), 2.6) == []
    assert doubts(Run("a", 0, {"start_seconds": 1.0}), 2.6) == []
    assert doubts(Run("a", 0, {"load_percent": 95.0, "mbit_per_watcher": 2.0}), 2.6) == [
        "the load had no time left",
        "watchers got 2.00 of 2.60 Mbit/s",
    ]


def test_others_on_the_servers_core_are_named_when_they_took_much() -> None:
    runs = [Run("a", 0, {"others_percent": share}) for share in (1.0, 30.0, 5.0)]
    assert most_others(runs) == 30
    assert most_others([runs[0], Run("a", 0, {})]) is None
    assert most_others([]) is None
