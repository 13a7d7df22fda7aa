"""Pictures of a report: CPU per MB and memory over the number of watchers, and how latencies are distributed.

What is drawn comes from pure functions; matplotlib is imported where it is drawn, since only this needs it.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.figures import Histogram, Result, median_of, summed
from benchmarks.report import Report

SIZE_INCHES, DPI = (7.0, 4.2), 110
CPU, MEMORY, LATENCY = "cpu-over-watchers.png", "memory-over-watchers.png", "latency.png"

MOST_MARKED = 20
"""Points of a curve that are marked one by one."""

Curve = Sequence[tuple[float, float]]


def over_watchers(result: Result, figure: str) -> dict[str, Curve]:
    """For each subject: number of watchers, and the median of `figure` there."""
    curves: dict[str, Curve] = {}
    for subject in dict.fromkeys(run.subject for run in result.runs):
        runs = [run for run in result.runs if run.subject == subject]
        sizes = sorted({run.figures["watchers"] for run in runs})
        points = [
            (size, median_of([run for run in runs if run.figures["watchers"] == size], subject, figure))
            for size in sizes
        ]
        curves[subject] = [(size, value) for size, value in points if value is not None]
    return curves


def exceeded(histogram: Histogram) -> Curve:
    """For each latency that occurred, the part of all frames (above 0, up to 1) that took as long or longer."""
    total = sum(count for _, count in histogram)
    shorter = [0, *accumulate(count for _, count in histogram)]
    return [(end, 1 - before / total) for (end, _), before in zip(histogram, shorter, strict=False)]


def latency_curves(result: Result) -> dict[str, Curve]:
    """`exceeded` of all rounds together, for each subject that was measured."""
    subjects = dict.fromkeys(run.subject for run in result.runs if run.histogram)
    return {
        subject: exceeded(summed([run.histogram for run in result.runs if run.subject == subject]))
        for subject in subjects
    }


def draw(report: Report, directory: Path) -> list[str]:
    """Write the pictures that the report has figures for; their names. Raises `ImportError` without matplotlib."""
    results = {result.row: result for result in report.results if result.runs}
    drawn = []
    if "audience" in results:
        cpu = over_watchers(results["audience"], "cpu_us_per_mb")
        _draw(directory / CPU, report, cpu, "watchers", "CPU µs per delivered MB", log="xy")
        memory = over_watchers(results["audience"], "rss_mb")
        _draw(directory / MEMORY, report, memory, "watchers", "memory of the server (RSS), MB", log="x")
        drawn += [CPU, MEMORY]
    if "latency" in results:
        curves = latency_curves(results["latency"])
        _draw(
            directory / LATENCY,
            report,
            curves,
            "milliseconds from sending to reading",
            "part that took longer",
            log="xy",
        )
        drawn.append(LATENCY)
    return drawn


def _draw(file: Path, report: Report, curves: dict[str, Curve], x: str, y: str, *, log: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (the rest works without matplotlib)
    from matplotlib.figure import Figure  # noqa: PLC0415 (as above)

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o" if len(points) <= MOST_MARKED else "", label=name)
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(f"{report.machine.processor}, {report.machine.date}, {report.revision}", fontsize=8)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
