"""`replay`: a tape through a server in memory; apart from everything that a running server imports."""

import os
import sys
from pathlib import Path

import click

from mmids_trio import logs
from mmids_trio.cli.replaying import load_tape, write_log
from mmids_trio.errors import MmidsError, leaves
from mmids_trio.testing.replaying import run_replay


@click.command()
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--log", "log_file", type=click.Path(path_type=Path), help="Where the lines go, instead of stdout.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of tasks and random numbers.")
def replay(tape: Path, log_file: Path | None, seed: int) -> None:
    """Replay a captured TAPE in memory, on a virtual clock, and print what happened: twice the same, byte for byte."""
    try:
        level = logs.level_from({"mmids_log": "error", **os.environ})
        with logs.configure(level=level, directory=None, console=sys.stderr):
            replayed = run_replay(load_tape(tape), seed=seed)
        if log_file is None:
            click.echo(replayed.text, nl=False)
        else:
            write_log(log_file, replayed.text)
    except* MmidsError as group:
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
        sys.exit(1)
