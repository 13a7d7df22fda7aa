"""This checkout beside another one: who takes part, which package each runs, and what is printed."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from attrs import define, field
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.against import ROUNDS, Comparison, Pair, beside, compare, text_of
from benchmarks.bench import QUICK, Bench, turns
from benchmarks.figures import Run
from benchmarks.load import Load
from benchmarks.machine import ROOT, Cores, NotPossible
from benchmarks.rows import ROWS
from benchmarks.subjects import OURS, NginxRtmp, NodeMediaServer, Ours, Ports, Server, Subject, package_of

AnyBench = TypeVar("AnyBench", bound=Bench)


def runs(figure: str, ours: Sequence[float], other: Sequence[float], **more: float) -> list[Run]:
    both = ((OURS.name, ours), (f"{OURS.name} (other)", other))
    return [Run(name, number, {figure: value, **more}) for name, values in both for number, value in enumerate(values)]


def test_each_server_of_ours_has_the_others_beside_it_and_peers_stay_away(tmp_path: Path) -> None:
    more = Ours(name="more", workflows="workflow w {\n}\n", settings=("publisher_timeout 5",))
    assert beside([OURS, NginxRtmp(), more], tmp_path) == [
        OURS,
        Ours(name="mmids_trio (other)", root=tmp_path),
        more,
        Ours(name="more (other)", workflows=more.workflows, settings=more.settings, root=tmp_path),
    ]


def test_both_change_places_every_round(tmp_path: Path) -> None:
    names = [(number, subject.name) for number, subject in turns(beside([OURS], tmp_path), 2)]
    assert names == [(0, "mmids_trio"), (0, "mmids_trio (other)"), (1, "mmids_trio (other)"), (1, "mmids_trio")]


def test_each_runs_the_package_of_its_own_checkout(tmp_path: Path) -> None:
    for own in beside([OURS], tmp_path / "other"):
        assert isinstance(own, Ours)
        assert f"PYTHONPATH={own.root}" in own.prepare(tmp_path, Ports(1, 2))
    assert OURS.root == ROOT


def test_a_server_keeps_its_compiled_files_whatever_the_shell_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `start-up` measures the compiler, and `idle` what that has needed."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = OURS.prepare(tmp_path, Ports(1, 2))
    python = [*command[: command.index(sys.executable) + 1], "-c", "import sys; print(sys.dont_write_bytecode)"]
    assert subprocess.run(python, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.thorough
def test_the_package_of_a_checkout_is_its_own_whatever_is_installed(tmp_path: Path) -> None:
    assert package_of(ROOT) == ROOT / "mmids_trio"
    (tmp_path / "mmids_trio").mkdir()
    (tmp_path / "mmids_trio" / "__init__.py").touch()
    assert package_of(tmp_path) == tmp_path.resolve() / "mmids_trio"


@pytest.mark.thorough
def test_a_directory_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotPossible):
        package_of(tmp_path)
    refused = CliRunner().invoke(main, ["--against", str(tmp_path)])
    assert refused.exit_code == 1
    assert str(tmp_path) in refused.output


@pytest.mark.parametrize("more", [["--redraw"], ["--output", "somewhere"]])
def test_what_is_only_printed_goes_with_no_option_for_files(more: list[str], tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["--against", str(tmp_path), *more])
    assert refused.exit_code == 2
    assert "--against" in refused.output


@define(eq=False)
class StartsNothing(Bench):
    """Notes who is to be started."""

    started: list[Subject] = field(factory=list, init=False)

    def run(self, subject: Subject) -> AbstractAsyncContextManager[Server]:
        self.started.append(subject)
        raise OSError("noted")


def against_another(bench: type[AnyBench], directory: Path) -> AnyBench:
    core = min(os.sched_getaffinity(0))
    load = Load(directory, directory / "footage")
    load.footage.touch()
    peers = NginxRtmp(), NodeMediaServer(directory)
    return bench(QUICK, Cores(core, core), load, *peers, lambda _text: None, other=ROOT.parent / "elsewhere")


async def test_a_row_measures_both_in_every_round(tmp_path: Path) -> None:
    bench = against_another(Bench, tmp_path)

    async def once(subject: Subject) -> Sequence[Run]:
        await trio.lowlevel.checkpoint()
        return [Run(subject.name, 0, {})]

    measured = await bench.alternate([OURS, bench.nginx, bench.node], once)
    assert [run.subject for run in measured.runs] == ["mmids_trio", "mmids_trio (other)"]
    assert measured.notes == []


@pytest.mark.parametrize("name", ["fan-out", "flv-fan-out", "ll-hls", "segments", "part-latency"])
async def test_a_row_starts_the_server_of_each_checkout(name: str, tmp_path: Path) -> None:
    """Those over HTTP started their own for both, or a peer: they knew it by its identity."""
    bench = against_another(StartsNothing, tmp_path)
    await next(row for row in ROWS if row.name == name).measure(bench)
    roots = Counter(subject.root for subject in bench.started if isinstance(subject, Ours))
    assert roots == {ROOT: len(bench.started) // 2, ROOT.parent / "elsewhere": len(bench.started) // 2}


def test_figures_are_compared_round_by_round() -> None:
    [comparison] = compare(runs("cpu", [10, 30, 8], [10, 20, 10]), ["cpu"])
    assert comparison == Comparison(OURS.name, "cpu", None, [Pair(0, 10, 10), Pair(1, 30, 20), Pair(2, 8, 10)])
    assert [pair.ratio for pair in comparison.pairs] == [1, 1.5, 0.8]
    assert comparison.median == 1


def test_a_round_that_only_one_has_finished_counts_for_nothing() -> None:
    one_less = [run for run in runs("cpu", [10, 30], [10, 20]) if (run.subject, run.round) != (OURS.name, 0)]
    [comparison] = compare(one_less, ["cpu", "memory"])
    assert comparison.pairs == [Pair(1, 30, 20)]
    assert compare(one_less[:1], ["cpu"]) == []


def test_sizes_of_an_audience_are_compared_apart() -> None:
    both = runs("cpu", [10], [20], watchers=1) + runs("cpu", [30], [40], watchers=100)
    assert [(found.watchers, found.median) for found in compare(both, ["cpu"])] == [(1, 0.5), (100, 0.75)]


def test_nothing_divided_by_nothing_is_no_ratio() -> None:
    [comparison] = compare(runs("gap", [1, 3], [0, 2]), ["gap"])
    assert [pair.ratio for pair in comparison.pairs] == [None, 1.5]
    assert comparison.median == 1.5


def test_the_text_has_every_round_and_the_median() -> None:
    text = text_of("fan-out", runs("cpu", [1234.5, 30, 8], [1000, 20, 10], watchers=5), ["cpu"], ["a\nnote"])
    assert text.splitlines() == [
        "### fan-out",
        "",
        "mmids_trio, 5 watchers",
        "",
        "| round | cpu | the other | ratio |",
        "| --- | ---: | ---: | ---: |",
        "| 1 | 1,234 | 1,000 | 1.234 |",
        "| 2 | 30 | 20 | 1.500 |",
        "| 3 | 8 | 10 | 0.800 |",
        "| median |  |  | 1.234 |",
        "",
        "- a note",
    ]


def test_a_row_without_a_common_round_says_so() -> None:
    assert "No round was measured on both." in text_of("fan-out", [], ["cpu"], ["it did not start"])


def test_the_text_warns_of_a_machine_that_others_use() -> None:
    assert "do not believe" in text_of("fan-out", runs("cpu", [1], [1], others_percent=50), ["cpu"], [])
    assert "do not believe" not in text_of("fan-out", runs("cpu", [1], [1], others_percent=1), ["cpu"], [])


def test_every_row_names_what_is_compared_and_there_are_five_rounds() -> None:
    assert all(row.compared for row in ROWS)
    assert ROUNDS == 5
