"""`python -m benchmarks`: the command line, and the order of things. `scripts/benchmark` calls it."""

from collections.abc import Sequence
from pathlib import Path

import click
import trio
from attrs import evolve

from benchmarks import load, machine, plots, tables
from benchmarks.against import ROUNDS, text_of
from benchmarks.bench import FULL, QUICK, Bench, Effort, Row
from benchmarks.report import Report, read, to_json
from benchmarks.rows import ROWS
from benchmarks.subjects import NginxRtmp, NodeMediaServer, package_of

CACHE = machine.ROOT / "build" / "benchmark"
PAGE = machine.ROOT / "docs" / "performance.md"
HERE = Path(__file__).parent


def _rows(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Sequence[Row]:
    """The rows of a comma-separated list of names; all of them without one."""
    if value is None:
        return ROWS
    known = {row.name: row for row in ROWS}
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no row {name!r}; there are: {', '.join(known)}")
    return [known[name] for name in names]


@click.command()
@click.option("--rows", callback=_rows, help="Names of rows, separated by commas; all unless given.")
@click.option("--list", "is_list", is_flag=True, help="Say which rows there are, and measure nothing.")
@click.option("--quick", is_flag=True, help="One short round with a tenth of the load: shows that everything works.")
@click.option("--repeat", type=click.IntRange(1, 100), help=f"Rounds; {FULL.repeat} unless given.")
@click.option("--seconds", type=click.FloatRange(1, 600), help=f"Length of a window; {FULL.seconds:g} unless given.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for results.json, results.md and plots. Unless given: benchmarks/ for all rows at full length, "
    "which docs/performance.md then includes, and build/benchmark/ for everything else.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Measure another checkout of this project in place of the peers, in turns, and print the ratios; "
    f"{ROUNDS} rounds unless given.",
)
@click.option("--redraw", is_flag=True, help="Measure nothing; make tables and plots again from results.json.")
def main(
    *,
    rows: Sequence[Row],
    is_list: bool,
    quick: bool,
    repeat: int | None,
    seconds: float | None,
    output: Path | None,
    against: Path | None,
    redraw: bool,
) -> None:
    """Measure the server against the targets in docs/performance.md, in turns with nginx-rtmp and Node-Media-Server.

    With --against, in turns with the server of another checkout instead.
    """
    if is_list:
        for row in rows:
            click.echo(f"{row.name:<15} {row.work}")
        return
    effort = QUICK if quick else FULL if against is None else evolve(FULL, repeat=ROUNDS)
    effort = evolve(effort, repeat=repeat or effort.repeat, seconds=seconds or effort.seconds)
    if against is not None:
        if redraw or output is not None:
            raise click.UsageError("--against prints what it measures: it goes neither with --redraw nor with --output")
        _compare(rows, effort, against)
        return
    is_whole = len(rows) == len(ROWS) and not quick and effort.repeat >= FULL.repeat
    directory = output or (HERE if redraw or is_whole else CACHE)
    try:
        report = read(directory / "results.json") if redraw else trio.run(_measure, rows, effort)
    except machine.NotPossible as problem:
        raise click.ClickException(str(problem)) from problem
    _write(report, directory)


def _compare(rows: Sequence[Row], effort: Effort, other: Path) -> None:
    """Measure, and print after each row what its rounds say."""
    try:
        package_of(other)
        trio.run(_measure_against, rows, effort, other)
    except machine.NotPossible as problem:
        raise click.ClickException(str(problem)) from problem


async def _measure_against(rows: Sequence[Row], effort: Effort, other: Path) -> None:
    bench = _prepared(effort, other)
    _say(f"{machine.revision()} against {machine.revision(other)} in {other}")
    for row in rows:
        _say(f"{row.name}: {row.work}")
        measured = await row.measure(bench)
        click.echo(text_of(row.name, measured.runs, row.compared, measured.notes))


def _prepared(effort: Effort, other: Path | None = None) -> Bench:
    """A bench; from then on this process is bound to the core of the load."""
    cores = machine.choose_cores()
    built = load.prepare(CACHE)
    machine.prepare_this_process(cores)
    return Bench(effort, cores, built, NginxRtmp(), NodeMediaServer(CACHE / "node"), _say, other)


async def _measure(rows: Sequence[Row], effort: Effort) -> Report:
    begin = trio.current_time()
    described = machine.describe()
    bench = _prepared(effort)
    results = []
    for row in rows:
        _say(f"{row.name}: {row.work}")
        results.append(await row.run(bench))
        for check in results[-1].checks:
            figure = "-" if check.measured is None else f"{tables.shown(check.measured)} {check.target.unit}"
            _say(f"  {check.target.what}: {figure}, at most {check.target.at_most:g}: {check.verdict}")
    _say(f"measured in {(trio.current_time() - begin) / 60:.1f} minutes")
    return Report(described, bench.versions, machine.revision(), effort.repeat, effort.seconds, effort.scale, results)


def _write(report: Report, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = tables.markdown(report)
    (directory / "results.json").write_text(to_json(report), encoding="utf-8")
    (directory / "results.md").write_text(text, encoding="utf-8")
    try:
        plots.draw(report, directory / "plots")
    except ImportError:
        _say("no plots: they need matplotlib (the extra 'benchmark')")
    if directory == HERE:
        PAGE.write_text(tables.included(PAGE.read_text("utf-8"), for_page(report)), encoding="utf-8")
    _say(f"written to {directory}")


def for_page(report: Report) -> str:
    """What docs/performance.md includes: the tables, and the plots that there are."""
    drawn = [file.name for file in (HERE / "plots").glob("*.png")]
    return f"{tables.markdown(report)}\n{tables.pictures(drawn, '../benchmarks/plots')}\n".rstrip() + "\n"


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="scripts/benchmark")
