"""What the command `record` needs around a server: the tape, and who writes it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

import trio
from attrs import frozen

from mmids_trio.cli.configuration_file import Configuration
from mmids_trio.recording.file import TapeFile
from mmids_trio.recording.masking import Masking
from mmids_trio.recording.recorder import Recorder
from mmids_trio.recording.records import Start

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
async def recorded(
    configuration: Configuration, options: Options, program: str, declared: frozenset[str]
) -> AsyncIterator[Recorder]:
    """A recorder that writes as long as the block runs. Raises `CannotRecord`.

    `declared`: names of parameters that are secret.
    """
    masking = Masking(os.urandom(_SECRET_BYTES), options.media, options.secrets, declared)
    file = TapeFile.create(options.out)
    try:
        recorder = Recorder(file, masking, options.max_size * 1024 * 1024)
        start = Start(0, program, options.media, options.secrets, int(time()), configuration.text.encode())
        async with trio.open_nursery() as nursery:
            await nursery.start(recorder.run, start)
            yield recorder
            nursery.cancel_scope.cancel()
    finally:
        file.close()
