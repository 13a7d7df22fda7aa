"""`record`: run a server, and keep on a tape what comes into it."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time

import click
import trio
from attrs import frozen

from mmids_trio import __version__
from mmids_trio.app import Server
from mmids_trio.cli.lazy import DEFAULT_CONFIGURATION
from mmids_trio.cli.serving import Hear, complain_or_run, started_definitions
from mmids_trio.recording.attachment import attach, note_kept_state
from mmids_trio.recording.file import TapeFile
from mmids_trio.recording.masking import FULL, HEADERS, KEEP, MASK, Masking
from mmids_trio.recording.recorder import Recorder
from mmids_trio.recording.records import Start
from mmids_trio.reload.configuration_file import Configuration

DEFAULT_MAX_MIB = 1024
"""Largest tape unless told otherwise: about an hour of one publisher of 2.6 Mbit/s with all its media."""

_SECRET_BYTES = 32


@frozen
class Options:
    """What `record` was told. `max_size` is in MiB."""

    out: Path
    media: str
    secrets: str
    max_size: int


@asynccontextmanager
async def recorded(options: Options, configuration: Configuration, server: Server) -> AsyncIterator[Hear]:
    """Record what comes into a server, as long as the block runs; the value is to hear what it has started with.

    Raises `CannotRecord`.
    """
    declared = server.steps.secrets | server.executors.secrets
    masking = Masking(os.urandom(_SECRET_BYTES), options.media, options.secrets, declared)
    file = TapeFile.create(options.out)
    try:
        recorder = Recorder(file, masking, options.max_size * 1024 * 1024)
        start = Start(0, __version__, options.media, options.secrets, int(time()), configuration.text.encode())
        async with trio.open_nursery() as nursery:
            await nursery.start(recorder.run, start)
            attach(recorder, server)
            yield lambda changes: note_kept_state(recorder, server, configuration, started_definitions(server, changes))
            nursery.cancel_scope.cancel()
    finally:
        file.close()


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
    help="MiB at which the recording ends; the server goes on.",
)
def record(config: Path, out: Path, media: str, secrets: str, max_size: int) -> None:
    """Run the server like without a command, and record on a tape what comes into it."""
    sys.exit(complain_or_run(config, partial(recorded, Options(out, media, secrets, max_size))))
