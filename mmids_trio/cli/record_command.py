"""`record`: run a server, and keep on a tape what comes into it."""

import sys
from pathlib import Path

import click

from mmids_trio.cli.lazy import DEFAULT_CONFIGURATION
from mmids_trio.cli.recording import DEFAULT_MAX_MIB, Options
from mmids_trio.cli.serving import complain_or_run
from mmids_trio.recording.masking import FULL, HEADERS, KEEP, MASK


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
    sys.exit(complain_or_run(config, Options(out, media, secrets, max_size)))
