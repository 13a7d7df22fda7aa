"""`python -m tests.fuzz TARGET [SECONDS]`: a long run with atheris, which looks for inputs that reach new code.

What it learns stays in build/fuzz/TARGET, so the next run goes on from there; an input that breaks the invariant is put
there as well. Afterwards all of it is run once more, to bound what each input costs: counting would slow the search.
"""

import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import click

from tests.fuzz.catalog import NAMES, Target, seeds, target

BUILD = Path(__file__).parents[2] / "build" / "fuzz"
MOST_BYTES = 65_536
SECONDS_PER_INPUT = 10
"""Beyond them an input counts as one that never ends."""
MOST_MEMORY_MB = 2048


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.argument("seconds", type=click.IntRange(1), default=300)
def main(name: str, seconds: int) -> None:
    """Fuzz the target NAME for SECONDS; the status is not 0 when its invariant broke."""
    place = BUILD / name
    fuzzed = target(name)
    _prepare(fuzzed, place)
    command = [sys.executable, "-m", "tests.fuzz.search", name, *_options(fuzzed, place, seconds)]
    if status := subprocess.run(command, check=False).returncode:
        click.echo(f"{name}: the invariant broke", err=True)
        sys.exit(status)
    inputs = sorted((place / "corpus").iterdir())
    dear = sum(not _is_cheap(fuzzed, path) for path in inputs)
    click.echo(f"{name}: {dear} of {len(inputs)} inputs cost too much", err=True)
    sys.exit(1 if dear else 0)


def _prepare(fuzzed: Target, place: Path) -> None:
    """Put the seeds and the dictionary where libFuzzer finds them."""
    (place / "corpus").mkdir(parents=True, exist_ok=True)
    for seed in seeds(fuzzed.name):
        (place / "corpus" / blake2b(seed, digest_size=16).hexdigest()).write_bytes(seed)
    words = ("".join(f"\\x{byte:02x}" for byte in word) for word in fuzzed.dictionary)
    (place / "dictionary").write_text("".join(f'"{word}"\n' for word in words), encoding="ascii")


def _options(fuzzed: Target, place: Path, seconds: int) -> Sequence[str]:
    return (
        *([f"-dict={place / 'dictionary'}"] if fuzzed.dictionary else []),
        f"-max_total_time={seconds}",
        f"-max_len={MOST_BYTES}",
        f"-timeout={SECONDS_PER_INPUT}",
        f"-rss_limit_mb={MOST_MEMORY_MB}",
        f"-artifact_prefix={place}/",
        "-print_final_stats=1",
        str(place / "corpus"),
    )


def _is_cheap(fuzzed: Target, path: Path) -> bool:
    try:
        fuzzed.check(path.read_bytes())
    except AssertionError as error:
        click.echo(f"{path}: {error}", err=True)
        return False
    return True


if __name__ == "__main__":
    main(prog_name="scripts/fuzz")
