"""`python -m benchmarks.soak MINUTES`: the command line, and the order of things. `scripts/soak` calls it."""

import random
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import httpx2
import trio
from attrs import define, field

from benchmarks import machine
from benchmarks.soak import results, trend
from benchmarks.soak.results import Result
from benchmarks.soak.samples import Sample
from benchmarks.soak.stage import Stage, stage
from benchmarks.soak.stopping import stop, tracebacks
from benchmarks.soak.traffic import Traffic
from mmids_trio.errors import leaves

OUTPUT = machine.ROOT / "build" / "soak"

INTERVAL = (0.5, 5.0)
"""Seconds between samples: from a short to a long run."""
SAMPLES = 200
"""In a run that is short enough for its interval to be between those."""

REST_SECONDS = 90.0
"""For the children of workflows that have ended, and for what waits for a grace or a timeout."""
QUIET_SECONDS = 15.0
"""After that: idle threads end after 10 s."""


@click.command()
@click.argument("minutes", type=click.FloatRange(0.2, 60 * 24 * 30), default=30.0)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=OUTPUT, show_default=True)
@click.option("--seed", type=int, help="Of all that is random; another one each time unless given.")
def main(*, minutes: float, output: Path, seed: int | None) -> None:
    """Run the server under traffic for MINUTES, and fail when memory, files, threads, tasks or children only grow."""
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
        result, samples = trio.run(partial(_soak, Path(place), minutes, chosen))
    try:
        results.write(result, samples, output)
    except ImportError:
        _say("no plot: it needs matplotlib (the extra 'benchmark')")
    for verdict in result.verdicts:
        _say(str(verdict))
    for fault in result.faults:
        _say(f"FAILED: {fault}")
    _say(f"written to {output}")
    sys.exit(0 if result.is_fine else 1)


@define(eq=False)
class _Watch:
    """Samples taken side by side with everything else."""

    stage: Stage
    interval: float
    samples: list[Sample] = field(factory=list, init=False)
    counted: list[Sample] = field(factory=list, init=False)
    """Those for the trend: under traffic, after the warm-up."""
    is_counting: bool = field(default=False, init=False)

    async def run(self) -> None:
        while True:
            sample = await self.stage.sample()
            self.samples.append(sample)
            if self.is_counting:
                self.counted.append(sample)
            await trio.sleep(self.interval)


async def _soak(directory: Path, minutes: float, seed: int) -> tuple[Result, Sequence[Sample]]:
    described, seconds = machine.describe(), minutes * 60
    async with stage(directory) as set_up:
        watch = _Watch(set_up, min(max(seconds / SAMPLES, INTERVAL[0]), INTERVAL[1]))
        traffic = Traffic(set_up, random.Random(seed))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch.run)
                await _run(traffic, seconds * trend.WARM_UP)
                before = await _rest(set_up, traffic)
                watch.is_counting = True
                await _run(traffic, seconds * (1 - trend.WARM_UP))
                watch.is_counting = False
                after = await _rest(set_up, traffic)
                nursery.cancel_scope.cancel()
        except* (OSError, httpx2.HTTPError) as group:
            said = set_up.log.read_text("utf-8", errors="replace")[-2000:]
            raise click.ClickException(f"the server is gone: {list(leaves(group))!r}\n{said}") from group
        faults = [*traffic.faults, *await stop(set_up.server), *tracebacks(set_up.log)]
    verdicts = [*trend.trends(watch.counted), trend.zombies(watch.samples), *trend.rests(before, after)]
    counts = dict(sorted(traffic.counts.items()))
    return Result(described, machine.revision(), minutes, seed, counts, before, after, verdicts, faults), watch.samples


async def _run(traffic: Traffic, seconds: float) -> None:
    _say(f"traffic for {seconds:.0f} s")
    with trio.move_on_after(seconds):
        await traffic.run()


async def _rest(set_up: Stage, traffic: Traffic) -> Sample:
    """What the server holds when it has come to rest."""
    await traffic.calm()
    end = trio.current_time() + REST_SECONDS
    while (await set_up.sample()).children and trio.current_time() < end:  # noqa: ASYNC110 (nobody would set an event)
        await trio.sleep(1)
    await trio.sleep(QUIET_SECONDS)
    return await set_up.sample()


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="scripts/soak")
