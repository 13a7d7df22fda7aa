"""`check`: what is wrong with a configuration file, without running it."""

import sys
from pathlib import Path

import click

from mmids_trio.cli.configuration_file import load
from mmids_trio.config.parser import Document
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError, MmidsError
from mmids_trio.server.app import Server
from mmids_trio.server.building import build_server


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration FILE and print every problem; exit status 0 if it may run, else 1."""
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
        f"{file}: fine, {_count(len(document.workflows), 'workflow')}, {_count(len(document.reactors), 'reactor')}"
    )


def kinds(document: Document) -> Server:
    """What a configuration may name: the kinds of steps and executors of a server that is not run."""
    return build_server(Settings(), document.reactors)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
