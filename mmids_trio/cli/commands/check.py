"""`check`: finds the errors of a configuration file without running it."""

import sys
from pathlib import Path

import click

from mmids_trio.cli.serving import kinds
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.reload.configuration_file import load


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration FILE and print every error.

    Exit status: 0 the server can run it; 1 it cannot.
    """
    try:
        configuration = load(file, kinds)
    except ConfigurationError as error:
        click.echo(error, err=True)
        click.echo(f"{file}: {_count(len(error.problems), 'error')}", err=True)
        sys.exit(1)
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    for warning in configuration.document.warnings:
        click.echo(f"warning: {warning}", err=True)
    document = configuration.document
    click.echo(
        f"{file}: no errors, {_count(len(document.workflows), 'workflow')}, {_count(len(document.reactors), 'reactor')}"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
