"""`capture`: run a server, and keep on a tape what comes into it."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import click
import trio
from attrs import frozen

from mmids_trio import __version__
from mmids_trio.capture.file import TapeFile
from mmids_trio.capture.masking import FULL, HEADERS, KEEP, MASK, Masking
from mmids_trio.capture.records import Start
from mmids_trio.capture.writer import CaptureWriter
from mmids_trio.cli.known_kinds import load_option
from mmids_trio.cli.lazy import DEFAULT_CONFIGURATION
from mmids_trio.cli.serving import Build, complain_or_run, run_server, started_definitions
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server.capturing import hooks_of, note_kept_state
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import PlanView

DEFAULT_MAX_MIB = 1024
"""Largest tape unless told otherwise: about an hour of one publisher of 2.6 Mbit/s with all its media."""

_SECRET_BYTES = 32


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIGURATION,
    show_default=True,
    help="Configuration file.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The tape to make, a new file.")
@click.option(
    "--media",
    type=click.Choice([HEADERS, FULL]),
    default=HEADERS,
    show_default=True,
    help="How much of audio and video: all, or what tells frames apart (and sequence headers).",
)
@click.option(
    "--secrets",
    type=click.Choice([MASK, KEEP]),
    default=MASK,
    show_default=True,
    help="Keys, tokens and passwords: replaced by pseudonyms, or kept.",
)
@click.option(
    "--max-size",
    type=click.IntRange(1),
    default=DEFAULT_MAX_MIB,
    show_default=True,
    help="MiB at which the capture ends; the server goes on.",
)
@load_option
def capture(config: Path, *, load: Sequence[str], **options: Any) -> None:
    """Run the server like without a command, and capture on a tape what comes into it."""
    sys.exit(complain_or_run(config, partial(_run_captured, _Options(**options)), modules=load))


@frozen
class _Options:
    """What `capture` was told. `max_size` is in MiB."""

    out: Path
    media: str
    secrets: str
    max_size: int


async def _run_captured(options: _Options, configuration: Configuration, build: Build) -> None:
    plain = build()  # it is not run: it knows which parameters are secret
    declared = plain.steps.secrets | plain.executors.secrets
    async with _open_writer(configuration, options, declared) as writer:
        server = build(hooks=hooks_of(writer))

        def note(changes: Sequence[Change[PlanView]]) -> None:
            note_kept_state(writer, server, configuration, started_definitions(server, changes))

        await run_server(configuration, server, note)


@asynccontextmanager
async def _open_writer(
    configuration: Configuration, options: _Options, declared: frozenset[str]
) -> AsyncIterator[CaptureWriter]:
    """A capture that is written as long as the block runs. Raises `CannotCapture`."""
    masking = Masking(os.urandom(_SECRET_BYTES), options.media, options.secrets, declared)
    file = TapeFile.create(options.out)
    try:
        writer = CaptureWriter(file, masking, options.max_size * 1024 * 1024)
        start = Start(0, __version__, options.media, options.secrets, int(time()), configuration.text.encode())
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run, start)
            yield writer
            nursery.cancel_scope.cancel()
    finally:
        file.close()
