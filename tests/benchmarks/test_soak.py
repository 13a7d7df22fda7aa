"""What a soak concludes from its samples, and how it reads them: no traffic here."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from benchmarks.machine import Machine
from benchmarks.soak import results
from benchmarks.soak.results import Result
from benchmarks.soak.samples import Child, Sample, child_in, look
from benchmarks.soak.trend import LIMITS, longest_zombie, rests, slope, trends, zombies

BASE = Sample(seconds=0, pss_mb=60.0, files=40, threads=4, tasks=80, children=5, zombies=(), workflows=3)
MACHINE = Machine("chip", 2, 8.0, "Linux", "6", "3.11", 0.1, "today")


def run_of(change: Callable[[float], dict[str, Any]], *, minutes: float = 25) -> list[Sample]:
    """Samples every five seconds; `change` says what differs from `BASE` after so many seconds."""
    return [evolve(BASE, seconds=5.0 * i, **change(5.0 * i)) for i in range(int(minutes * 12))]


def failed(samples: list[Sample]) -> list[str]:
    return [verdict.what for verdict in trends(samples) if not verdict.is_fine]


def test_a_slope_is_not_moved_by_a_few_outliers() -> None:
    points = [(float(second), 2.0 * second) for second in range(100)]
    wild = [(second, 1e9 if second % 5 == 0 else value) for second, value in points]
    assert slope(points) == pytest.approx(2)
    assert slope(wild) == pytest.approx(2, rel=0.3)
    assert slope([]) == slope([(1.0, 1.0)]) == 0


def test_traffic_that_comes_and_goes_is_no_trend() -> None:
    random = Random(1)
    samples = run_of(
        lambda _: {
            "files": 40 + random.randint(-20, 20),
            "tasks": 80 + random.randint(-40, 40),
            "children": random.randint(0, 9),
        }
    )
    assert failed(samples) == []


@pytest.mark.parametrize(
    ("figure", "a_minute"), [("pss_mb", 0.3), ("files", 1), ("tasks", 1), ("threads", 0.2), ("children", 0.2)]
)
def test_what_grows_all_the_time_is_found_under_noise(figure: str, a_minute: float) -> None:
    random = Random(2)
    base = getattr(BASE, figure)
    samples = run_of(lambda second: {figure: base + int(a_minute * second / 60) + random.uniform(-1, 1)})
    assert failed(samples) == [f"trend of {figure}"]


def test_what_is_not_given_back_at_rest_is_found() -> None:
    assert all(verdict.is_fine for verdict in rests(BASE, BASE))
    after = evolve(BASE, files=60, children=8)
    assert [verdict.what for verdict in rests(BASE, after) if not verdict.is_fine] == [
        "files left at rest",
        "children left at rest",
    ]


def test_only_the_same_zombie_counts_on() -> None:
    different = [evolve(BASE, seconds=10.0 * i, zombies=(i,)) for i in range(10)]
    same = [evolve(BASE, seconds=10.0 * i, zombies=(7, i)) for i in range(8, 13)]
    assert longest_zombie(different) == 0
    assert longest_zombie(same) == 40
    assert not zombies(same).is_fine
    assert zombies(different).is_fine


def test_a_run_that_is_too_short_for_a_trend_has_none() -> None:
    assert trends(run_of(lambda second: {"files": 1000 * second}, minutes=4)) == []
    assert trends([]) == []


def test_children_are_told_by_their_parent_even_with_an_evil_name() -> None:
    assert child_in("12 (ff) R 9 (mpeg) Z 7 12 12 0", 7) == Child(12, is_zombie=True)
    assert child_in("12 (ffmpeg) S 7 12 12 0", 7) == Child(12, is_zombie=False)
    assert child_in("12 (ffmpeg) S 8 12 12 0", 7) is None


def test_a_look_at_this_process_finds_what_it_has(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks"
    tasks.write_text("17          ", "ascii")
    seen = look(os.getpid(), tasks, seconds=1.0, workflows=2)
    assert seen.tasks == 17
    assert seen.files >= 3
    assert seen.threads >= 1
    assert seen.pss_mb > 1


def test_results_hold_every_sample_and_whether_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_draw", lambda *_: None)
    samples = run_of(lambda _: {}, minutes=6)
    result = Result(MACHINE, "abc", 2, 1, {"GET, 200": 5}, BASE, BASE, trends(samples), ["a fault"])
    results.write(result, samples, tmp_path)
    rows = list(csv.DictReader((tmp_path / "samples.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(samples)
    assert rows[1]["seconds"] == "5.0"
    said = json.loads((tmp_path / "soak.json").read_text("utf-8"))
    assert said["is_fine"] is False
    assert not evolve(result, faults=[], verdicts=rests(BASE, evolve(BASE, files=99))).is_fine
    assert evolve(result, faults=[]).is_fine
    assert len(said["verdicts"]) == len(LIMITS)
