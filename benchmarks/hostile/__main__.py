"""`python -m benchmarks.hostile MINUTES`, which `scripts/soak --hostile` calls: the command line, and the order."""

import json
import random
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx2
import trio
from attrs import asdict, define, field, frozen

from benchmarks import machine
from benchmarks.children import child
from benchmarks.hostile import bounds
from benchmarks.hostile.attacks import ATTACKS, SECRET
from benchmarks.hostile.honest import Honest, percentile
from benchmarks.hostile.stage import BOUNDS, Stage, stage
from benchmarks.machine import Machine
from benchmarks.soak.samples import Sample
from benchmarks.soak.stopping import stop, tracebacks
from benchmarks.soak.trend import Verdict, zombies
from mmids_trio.config.settings import KNOWN_SETTINGS
from mmids_trio.errors import leaves

OUTPUT = machine.ROOT / "build" / "hostile"

CALM_SECONDS = 10.0
"""Of the honest alone, before and after the attacks."""
REST_SECONDS = 120.0
"""For what waits for a grace or a timeout, once the attackers are gone."""
EVENT_SECONDS = 30.0
"""For the last events on their way to the webhook."""
SAMPLE_SECONDS = 0.5
NICENESS_OF_ATTACKERS = "10"
"""A tenth of the share of a core that the server and the honest have where both want it."""


@frozen
class Result:
    """All that a hostile soak found."""

    machine: Machine
    revision: str
    minutes: float
    seed: int
    attacks: dict[str, int]
    honest: dict[str, int]
    longest_seconds: dict[str, float]
    calm_p99_ms: float
    p99_ms: float
    """Of the honest frames, before and during the attacks."""
    peaks: bounds.Peaks
    calm_before: Sample
    calm_after: Sample
    turned_away: dict[str, int]
    verdicts: list[Verdict]
    without_bound: list[str]
    faults: list[str]

    @property
    def failures(self) -> list[str]:
        """What may not be; bounds that are known not to hold yet are left out."""
        broken = (verdict for verdict in self.verdicts if not verdict.is_fine)
        return [*(str(verdict) for verdict in broken if verdict.what not in bounds.NOT_HELD_YET), *self.faults]


@click.command()
@click.argument("minutes", type=click.FloatRange(0.1, 60 * 24 * 30), default=30.0)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=OUTPUT, show_default=True)
@click.option("--seed", type=int, help="Of all that is random; another one each time unless given.")
@click.option("--only", "names", multiple=True, type=click.Choice(sorted(ATTACKS)), help="These attacks alone.")
def main(*, minutes: float, output: Path, seed: int | None, names: tuple[str, ...]) -> None:
    """Attack the server for MINUTES, and fail when the honest lose anything or a bound does not hold."""
    chosen = random.SystemRandom().randrange(2**32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        result = trio.run(partial(_soak, Path(place), minutes, chosen, names))
    output.mkdir(parents=True, exist_ok=True)
    shown = asdict(result) | {"failures": result.failures}
    (output / "hostile.json").write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    for verdict in result.verdicts:
        _say(f"{verdict}{' (known not to hold yet)' if verdict.what in bounds.NOT_HELD_YET else ''}")
    for what in result.without_bound:
        _say(f"no bound: {what}")
    _say(f"99 % of the honest frames took {result.p99_ms:g} ms at most ({result.calm_p99_ms:g} ms without attacks)")
    for fault in result.faults:
        _say(f"FAILED: {fault}")
    _say(f"written to {output}; seed {chosen}")
    sys.exit(1 if result.failures else 0)


@define(eq=False)
class _Watch:
    """Samples taken side by side with everything else."""

    stage: Stage
    samples: list[Sample] = field(factory=list, init=False)
    most_log_bytes: int = field(default=0, init=False)
    most_files: int = field(default=0, init=False)
    most_interrupted: int = field(default=0, init=False)

    async def run(self) -> None:
        while True:
            self.samples.append(await self.stage.sample())
            self.most_log_bytes = max(self.most_log_bytes, self.stage.log_bytes())
            self.most_files = max(self.most_files, self.stage.files())
            self.most_interrupted = max(self.most_interrupted, await self.stage.interrupted())
            await trio.sleep(SAMPLE_SECONDS)

    def peaks(self) -> bounds.Peaks:
        return bounds.peaks(
            self.samples,
            bytes_of_log=self.most_log_bytes,
            files_left=self.most_files,
            interrupted=self.most_interrupted,
        )


async def _soak(directory: Path, minutes: float, seed: int, names: tuple[str, ...]) -> Result:
    described = machine.describe()
    async with stage(directory) as set_up:
        honest, watch = Honest(set_up), _Watch(set_up)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(honest.run)
                await trio.sleep(CALM_SECONDS)
                before, calm_delays = await set_up.sample(), honest.delays()
                nursery.start_soon(watch.run)
                _say(f"attacks for {minutes * 60:.0f} s")
                attacks = await _attack(set_up, minutes * 60, seed, names)
                delays = honest.delays()
                after, at_rest = await _rest(set_up, before)
                turned_away = await _turned_away(set_up)
                nursery.cancel_scope.cancel()
            await _events_arrive(set_up, honest)
        except* (OSError, httpx2.HTTPError) as group:
            said = set_up.log.read_text("utf-8", errors="replace")[-2000:]
            raise click.ClickException(f"the server is gone: {list(leaves(group))!r}\n{said}") from group
        faults = [*honest.faults, *attacks["breaches"], *await stop(set_up.server), *tracebacks(set_up.log)]
        settings = {name: int(value) for name, value in BOUNDS.items() if name in KNOWN_SETTINGS}
        seen = watch.peaks()
        verdicts = [
            *bounds.verdicts(seen, before, settings),
            *at_rest,
            zombies(watch.samples),
            *_of_the_honest(honest),
            Verdict("secrets in the log", float(_secrets(directory)), 0.0),
        ]
    return Result(
        machine=described,
        revision=machine.revision(),
        minutes=minutes,
        seed=seed,
        attacks=attacks["counts"],
        honest=dict(honest.counts),
        longest_seconds=honest.longest,
        calm_p99_ms=percentile(calm_delays, 0.99),
        p99_ms=percentile(delays, 0.99),
        peaks=seen,
        calm_before=before,
        calm_after=after,
        turned_away=turned_away,
        verdicts=verdicts,
        without_bound=bounds.without_bound(settings),
        faults=faults,
    )


def _of_the_honest(honest: Honest) -> list[Verdict]:
    missing = honest.counts["workflows started"] - honest.stage.service.started
    return [
        Verdict("frames that the honest lost", float(sum(one.lost for one in honest.receptions)), 0.0),
        Verdict(
            "events that were never posted",
            float(missing),
            0.0,
        ),
    ]


async def _attack(set_up: Stage, seconds: float, seed: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Run the attackers' process for so long; what it says of itself."""
    ports = set_up.ports
    numbers = {"rtmp": ports.rtmp, "api": ports.api, "source": ports.source, "media": ports.media, "seed": seed}
    options = [word for name, number in numbers.items() for word in (f"--{name}", str(number))]
    # They stand for other machines: what they compute must not delay what is measured on this one.
    command = ["env", f"PYTHONPATH={machine.ROOT}", "nice", "-n", NICENESS_OF_ATTACKERS]
    command += [sys.executable, "-m", "benchmarks.hostile.attackers"]
    log = set_up.directory / "attackers.log"
    async with child(
        [*command, *options, *names], directory=set_up.directory, output=subprocess.PIPE, log=log
    ) as process:
        with trio.move_on_after(seconds):
            await process.wait()
        if process.returncode is not None:
            raise click.ClickException(f"the attackers have ended: {log.read_text('utf-8')[-2000:]}")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        said: dict[str, Any] = json.loads(b"".join([data async for data in process.stdout]))
    return said


async def _rest(set_up: Stage, before: Sample) -> tuple[Sample, list[Verdict]]:
    """What the server holds when the attackers are gone and only the honest are left."""
    end = trio.current_time() + REST_SECONDS
    while trio.current_time() < end:
        await trio.sleep(CALM_SECONDS)
        after = await set_up.sample()
        found = bounds.at_rest(before, after, set_up.ended_files())
        if all(verdict.is_fine for verdict in found):
            break
    return after, found


async def _turned_away(set_up: Stage) -> dict[str, int]:
    text = (await set_up.ask("GET", "/metrics")).text
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("mmids_turned_away_total{"))
    return {name.split('"')[1]: int(count) for name, count in lines if count != "0"}


async def _events_arrive(set_up: Stage, honest: Honest) -> None:
    with trio.move_on_after(EVENT_SECONDS):
        while set_up.service.started < honest.counts["workflows started"]:  # noqa: ASYNC110 (nobody would set an event)
            await trio.sleep(0.1)


def _secrets(directory: Path) -> int:
    """How often the token of a mistyped key stands in what the server printed or logged."""
    files = [directory / "server.log", *(directory / "logs").rglob("*")]
    return sum(file.read_bytes().count(SECRET.encode()) for file in files if file.is_file())


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(prog_name="scripts/soak --hostile")
