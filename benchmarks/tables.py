"""A report as Markdown: the targets, then the figures of every subject behind them. Pure."""

from collections.abc import Sequence

from benchmarks.figures import Check, Result, Run, median_of, most_others
from benchmarks.report import Report

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""What stands around the tables in a page that includes them."""

FIGURES = {
    "cpu_us_per_mb": "CPU µs per MB",
    "cpu_us_per_request": "CPU µs per request",
    "cpu_us_per_packet": "CPU µs per packet",
    "requests_per_second": "requests a second",
    "cpu_percent": "CPU % of a core",
    "cpu_percent_unwatched": "of it without viewers",
    "cpu_percent_per_publisher": "CPU % of a core per publisher",
    "mbit_per_watcher": "Mbit/s each",
    "mbit_per_publisher": "Mbit/s each",
    "flood_mbit": "flood Mbit/s",
    "latency_p50_ms": "latency p50 ms",
    "latency_p99_ms": "p99 ms",
    "latency_p999_ms": "p99.9 ms",
    "answer_p50_ms": "answer p50 ms",
    "answer_p99_ms": "p99 ms",
    "answer_max_ms": "slowest ms",
    "turn_max_ms": "longest turn ms",
    "answer_ms": "both answers ms",
    "longest_gap_ms": "longest gap ms",
    "picture_p50_ms": "first picture p50 ms",
    "picture_p99_ms": "p99 ms",
    "picture_max_ms": "slowest ms",
    "kb_per_idle_watcher": "kB per idle watcher",
    "start_seconds": "seconds",
    "cpu_seconds": "of them on the processor",
    "load_percent": "load % of its core",
    "others_percent": "others % of the server's core",
    "rss_mb": "RSS MB",
    "rss_gb": "RSS GB",
}
"""What the tables show of the figures of a run, in this order."""


def markdown(report: Report) -> str:
    """All tables, with what they depend on."""
    parts = [_circumstances(report), _targets(report.results), *map(_details, report.results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _circumstances(report: Report) -> str:
    machine = report.machine
    lines = [
        f"{machine.date}, revision {report.revision}: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gb:g} GB, {machine.system}, Linux {machine.kernel}, Python {machine.python}; "
        f"load average before: {machine.load_average:g}.",
        f"Median of {report.repeat}, windows of {report.window_seconds:g} s.",
        *(f"{name}: {version}." for name, version in report.versions.items()),
    ]
    if not report.is_serious:
        lines.insert(
            0, "**A try that shows that everything works: too short, or too small, for its figures to count.**"
        )
    if warning := warning_of([run for result in report.results for run in result.runs]):
        lines.insert(0, f"**{warning}**")
    return "\n".join(lines)


def _targets(results: Sequence[Result]) -> str:
    rows = [
        [result.work, result.against, check.target.what, _limit(check), _measured(check), check.verdict]
        for result in results
        for check in result.checks
    ]
    return table(["work", "against", "figure", "at most", "measured", "target"], rows)


def _limit(check: Check) -> str:
    target = check.target
    noise = f" (+ {target.tolerance:.0%} for noise)" if target.tolerance else ""
    return f"{target.at_most:g} {target.unit}{noise}"


def _measured(check: Check) -> str:
    return "-" if check.measured is None else f"{shown(check.measured)} {check.target.unit}"


def _details(result: Result) -> str:
    """The medians of every subject, or every size of it, in one row, and the notes."""
    sizes = sorted({run.figures.get("watchers", 0) for run in result.runs})
    subjects = list(dict.fromkeys(run.subject for run in result.runs))
    names = [name for name in FIGURES if any(name in run.figures for run in result.runs)]
    groups = [(subject, size) for subject in subjects for size in sizes]
    rows = []
    for subject, size in groups:
        runs = [run for run in result.runs if run.figures.get("watchers", 0) == size]
        cells = [_cell(runs, subject, name) for name in names]
        if any(cells):
            rows.append([subject, *([f"{size:g}"] if size else []), *cells])
    heads = ["subject", *(["watchers"] if any(sizes) else []), *(FIGURES[name] for name in names)]
    parts = [
        f"**{result.row}**: {result.work}",
        table(heads, rows) if rows else "",
        "\n".join(map(_note, result.notes)),
    ]
    return "\n\n".join(part for part in parts if part)


def _note(note: str) -> str:
    return f"- {' '.join(note.split())}"


def _cell(runs: Sequence[Run], subject: str, figure: str) -> str:
    value = median_of(runs, subject, figure)
    return "" if value is None else shown(value)


def warning_of(runs: Sequence[Run]) -> str | None:
    """That others were too busy on the server's core, where they were."""
    others = most_others(runs)
    if others is None:
        return None
    return f"Others used up to {others:.0f} % of the server's core meanwhile: do not believe the figures."


def shown(value: float) -> str:
    """Three digits, or all of a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 (three digits)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


CAPTIONS = {
    "cpu-over-watchers.png": "CPU per delivered MB over the number of watchers",
    "memory-over-watchers.png": "Memory over the number of watchers",
    "latency.png": "Distribution of latencies, 100 watchers",
}
"""The pictures that `plots` draws."""


def pictures(names: Sequence[str], folder: str) -> str:
    """Markdown that shows those of `names` that have a caption, from `folder`."""
    return "\n\n".join(f"![{caption}]({folder}/{name})" for name, caption in CAPTIONS.items() if name in names)


def included(page: str, tables: str) -> str:
    """`page` with `tables` between its two marks. Raises `ValueError` when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"
