"""The rows: which there are, in which order subjects take turns, and what some make of their runs."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import tables
from benchmarks.__main__ import for_page, main
from benchmarks.bench import QUICK, Measured, turns
from benchmarks.experiments.spread import edge, origin
from benchmarks.figures import Run
from benchmarks.report import read
from benchmarks.rows import ROWS
from benchmarks.rows.api import IN_ORDER, STEPS, SWAPPED, updates, workflow_of
from benchmarks.rows.audience import steepest_rise
from benchmarks.rows.idle import resting_workflows
from benchmarks.rows.small_streams import LARGEST, MIXED_STREAMS, mixed_workflow, shares
from benchmarks.rows.starting import many_workflows
from benchmarks.subjects import OURS, NginxRtmp, Ours, Ports, on_port
from mmids_trio.config.parser import parse

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text("utf-8")


def ours(costs: Sequence[tuple[int, float]], number: int = 0) -> list[Run]:
    return [Run(OURS.name, number, {"watchers": watchers, "cpu_us_per_mb": cost}) for watchers, cost in costs]


def test_subjects_take_turns_and_change_their_order_every_round() -> None:
    a, b = Ours(name="a"), NginxRtmp(name="b")
    assert [(number, subject.name) for number, subject in turns([a, b], 3)] == [
        *((0, "a"), (0, "b")),
        *((1, "b"), (1, "a")),
        *((2, "a"), (2, "b")),
    ]


def test_the_steepest_rise_is_the_worst_step_from_one_size_to_the_next() -> None:
    assert steepest_rise(ours([(1, 100), (10, 40), (100, 50), (1000, 45)])) == 1.25
    assert steepest_rise(ours([(1, 100)])) is None
    assert steepest_rise([]) is None


def test_the_rise_is_compared_within_rounds() -> None:
    runs = [*ours([(1, 10), (10, 9)], 0), *ours([(1, 100), (10, 90)], 1), *ours([(1, 50), (10, 45)], 2)]
    assert steepest_rise(runs) == pytest.approx(0.9)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_without_runs_has_all_its_targets_and_no_figures(row: object) -> None:
    [wanted] = [known for known in ROWS if known is row]
    result = wanted.result(Measured([], ["nothing ran"]))
    assert [check.verdict for check in result.checks] == ["not measured"] * len(wanted.checks)
    assert result.checks


def test_every_row_is_listed_and_explained() -> None:
    listed = CliRunner().invoke(main, ["--list"]).output.splitlines()
    assert [line.split()[0] for line in listed] == [row.name for row in ROWS]
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE) == [row.name for row in ROWS]


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    refused = CliRunner().invoke(main, ["--rows", "fan-in"])
    assert refused.exit_code == 2
    assert "fan-out" in refused.output


def test_a_small_run_has_one_of_each_at_least() -> None:
    assert QUICK.scaled(1) == 1
    assert QUICK.scaled(1_000) == 100


def test_a_mixture_has_streams_with_one_watcher_and_with_many() -> None:
    mixture = shares(MIXED_STREAMS, LARGEST)
    assert (mixture[0], mixture[-1], len(mixture)) == (1, LARGEST, MIXED_STREAMS)
    assert mixture == sorted(mixture)
    assert shares(1, LARGEST) == [1]


def test_a_mixture_is_pushed_and_served_over_hls() -> None:
    [workflow] = parse(mixed_workflow(2000, 20), "mixed").workflows
    kinds = [step.step_type for step in workflow.steps]
    assert kinds == ["rtmp_receive", "rtmp_watch", "rtmp_push", *["http_watch"] * 5]
    assert "2000" in (workflow.steps[2].parameters["target"] or "")


@pytest.mark.parametrize(
    "text",
    [OURS.workflows, workflow_of(IN_ORDER), workflow_of(SWAPPED), many_workflows(3), resting_workflows(3)],
)
def test_the_workflows_that_are_measured_can_be_read(text: str) -> None:
    document = parse(on_port(text, 2000), "mmids.config")
    assert all(step.parameters["port"] == "2000" for workflow in document.workflows for step in workflow.steps)


def test_the_edge_of_the_experiment_pulls_from_the_port_that_the_origin_feeds() -> None:
    feeding = parse(origin(1000, 2000), "origin").workflows[0].steps
    pulling = [workflow.steps for workflow in parse(edge(1000, 2000, ["a", "b"]), "edge").workflows]
    assert [step.parameters["port"] for step in feeding] == ["1000", "1000", "2000"]
    assert [steps[0].parameters["location"] for steps in pulling] == [
        f"rtmp://127.0.0.1:1000/live/{key}" for key in "ab"
    ]
    assert [steps[1].parameters["port"] for steps in pulling] == ["2000", "2000"]


def test_updates_keep_all_steps_and_come_back_to_the_first_order() -> None:
    bodies = [parse(request.body or "", "body").workflows[0].steps for request in updates(Ports(1935, 80))]
    assert [len(steps) for steps in bodies] == [STEPS] * 3
    assert bodies[0] == bodies[2] != bodies[1]
    assert {str(step) for step in bodies[0]} == {str(step) for step in bodies[1]}


def test_the_page_has_the_tables_of_the_results() -> None:
    file = ROOT / "benchmarks" / "results.json"
    if file.exists():
        assert tables.included(PAGE, for_page(read(file))) == PAGE
    else:
        assert tables.BEGIN in PAGE
