"""A report survives being written, and becomes tables and curves."""

from pathlib import Path

import pytest

from benchmarks import plots, tables
from benchmarks.figures import Check, Result, Run, Target
from benchmarks.machine import Machine
from benchmarks.report import Report, from_json, to_json

MACHINE = Machine("A Chip", 2, 8.0, "Debian", "6.1", "3.11.7", 0.25, "2026-01-02 03:04 UTC")
AUDIENCE = Result(
    "audience",
    "1 publisher, 1 to 2,000 watchers",
    "itself with fewer",
    (Check(Target("steepest rise", 1.0, "x", 0.05), 0.5),),
    (
        Run("ours", 0, {"watchers": 1, "cpu_us_per_mb": 30_000.0, "rss_mb": 60.0}),
        Run("ours", 0, {"watchers": 10, "cpu_us_per_mb": 4_000.0, "rss_mb": 61.5}),
        Run("peer", 0, {"watchers": 1, "cpu_us_per_mb": 9_000.0}),
    ),
)
LATENCY = Result(
    "latency",
    "publisher to watchers",
    "absolute",
    (Check(Target("p99", 10, "ms"), None),),
    (Run("ours", 0, {"watchers": 1}, ((1.0, 3), (2.0, 1))), Run("ours", 1, {"watchers": 1}, ((2.0, 4),))),
    ("peer cannot run:\n it is missing",),
)


def report(scale: float = 1.0) -> Report:
    versions = {"ours": "1.0", "peer": "2.0"}
    return Report(MACHINE, versions, "abc", 3, 8.0, scale, (AUDIENCE, LATENCY))


def test_a_report_that_was_written_is_read_back() -> None:
    text = to_json(report())
    assert "[1.0, 3]" in text
    assert from_json(text) == report()


def test_the_tables_name_machine_versions_and_date() -> None:
    text = tables.markdown(report())
    for part in ("A Chip", "2 cores", "2026-01-02", "Python 3.11.7", "revision abc", "ours: 1.0", "peer: 2.0"):
        assert part in text


def test_every_target_has_its_figure_and_verdict() -> None:
    text = tables.markdown(report())
    start = "| 1 publisher, 1 to 2,000 watchers | itself with fewer | steepest rise"
    assert f"{start} | 1 x (+ 5% for noise) | 0.5 x | met |" in text
    assert "| publisher to watchers | absolute | p99 | 10 ms | - | not measured |" in text


def test_details_have_a_row_for_each_subject_and_size_and_leave_out_what_was_not_measured() -> None:
    text = tables.markdown(report())
    assert "| ours | 1 | 30,000 | 60 |\n| ours | 10 | 4,000 | 61.5 |\n| peer | 1 | 9,000 |  |\n" in text
    assert "| peer | 10 |" not in text


def test_a_note_stays_one_line() -> None:
    assert "\n- peer cannot run: it is missing\n" in tables.markdown(report())


def test_a_short_measurement_says_that_it_does_not_count() -> None:
    assert "for its figures to count" not in tables.markdown(report())
    assert "for its figures to count" in tables.markdown(report(scale=0.1))


def test_tables_take_the_place_between_their_marks() -> None:
    page = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    assert tables.included(page, "new") == f"before\n{tables.BEGIN}\nnew\n{tables.END}\nafter\n"
    with pytest.raises(ValueError, match="the page has no"):
        tables.included("before", "new")


def test_a_page_shows_the_pictures_that_there_are() -> None:
    assert tables.pictures([plots.LATENCY, "other.png"], "plots") == (
        "![Distribution of latencies, 100 watchers](plots/latency.png)"
    )
    assert set(tables.CAPTIONS) == {plots.CPU, plots.MEMORY, plots.LATENCY}


def test_curves_follow_the_number_of_watchers() -> None:
    assert plots.over_watchers(AUDIENCE, "rss_mb") == {"ours": [(1, 60.0), (10, 61.5)], "peer": []}


def test_latencies_of_all_rounds_become_one_curve_of_what_took_longer() -> None:
    assert plots.latency_curves(LATENCY) == {"ours": [(1.0, 1.0), (2.0, 1 - 3 / 8)]}


@pytest.mark.thorough
def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in plots.draw(report(), tmp_path):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {plots.CPU, plots.MEMORY, plots.LATENCY}
