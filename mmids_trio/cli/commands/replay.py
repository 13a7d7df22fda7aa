"""`replay`: a tape through a server in memory; apart from everything that a running server imports."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mmids_trio.capture.tape import Tape, TapeError, read_tape
from mmids_trio.cli.known_kinds import KnownKinds, load_option
from mmids_trio.config.parser import parse
from mmids_trio.config.references import given_in_the_text
from mmids_trio.errors import ConfigurationError, MmidsError, leaves
from mmids_trio.server import logs
from mmids_trio.testing.replaying import Replayed, run_replay


class CannotReplay(MmidsError):
    """There is no tape to replay, or its log cannot be written; the message says why."""


def load_tape(path: Path) -> Tape:
    """All of a tape, which is kept in memory. Raises `CannotReplay`."""
    try:
        return read_tape(path.read_bytes())
    except OSError as error:
        raise CannotReplay(f"cannot read the tape {path}: {error.strerror}") from error
    except TapeError as error:
        raise CannotReplay(f"{path}: {error}") from error


def write_log(path: Path, text: str) -> None:
    """Write the log of a replay in place of whatever was there. Raises `CannotReplay`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotReplay(f"cannot write {path}: {error.strerror}") from error


@click.command()
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--log", "log_file", type=click.Path(path_type=Path), help="Where the lines go, instead of stdout.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of tasks and random numbers.")
@load_option
def replay(tape: Path, log_file: Path | None, seed: int, load: Sequence[str]) -> None:
    """Replay a captured TAPE in memory, on a virtual clock, and print what happened: twice the same, byte for byte.

    Modules that the captured configuration loads are not imported, unless --load names them.
    """
    try:
        level = logs.level_from(os.environ, default="error")
        with logs.configure(level=level, directory=None, console=sys.stderr):
            replayed = _replayed(load_tape(tape), seed, KnownKinds.of(load))
        if log_file is None:
            click.echo(replayed.text, nl=False)
        else:
            write_log(log_file, replayed.text)
    except* MmidsError as group:
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _replayed(tape: Tape, seed: int, known: KnownKinds) -> Replayed:
    """What a tape says is data, from wherever it comes: it never has code imported."""
    plugins = known.plugins
    try:
        return run_replay(tape, seed=seed, more_steps=plugins.steps, more_executors=plugins.executors)
    except ConfigurationError as error:
        captured = parse(tape.start.configuration.decode("utf-8", "replace"), "tape", given_in_the_text())
        missing = [f"--load {module}" for module in captured.settings.load if module not in plugins.modules]
        if not missing:
            raise
        raise CannotReplay(
            f"{error}\nthe captured server had loaded modules: replay with {' '.join(missing)}"
        ) from error
