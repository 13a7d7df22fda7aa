"""`check`: finds the errors of configuration files without running them."""

import json
import os
import sys
from collections.abc import Sequence

import click

from mmids_trio.cli.checking import Checked, check_here, check_texts
from mmids_trio.cli.client.files import no_env_option, read_sources
from mmids_trio.cli.common_options import json_option
from mmids_trio.cli.known_kinds import KnownKinds, load_option
from mmids_trio.errors import MmidsError, Problem


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@no_env_option
@load_option
@click.option("--here", is_flag=True, help="Also check what this machine lacks: files, certificate, ffmpeg, rights.")
def check(files: Sequence[str], as_json: bool, no_env: bool, here: bool, load: Sequence[str]) -> None:
    """Check configuration files and print every error.

    FILE may be a directory, which stands for its *.mmids files, or - for standard input. Several files are checked as
    one configuration. The modules are imported that --load and the setting 'load' of FILE name.

    Exit status: 0 the server can run it; 1 it cannot.
    """
    try:
        sources, unreadable = read_sources(files)
        checked = check_texts(sources, None if no_env else os.environ, KnownKinds.of(load))
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    problems = [*unreadable, *checked.problems, *(check_here(checked) if here else ())]
    if as_json:
        shown = {"problems": [each.data() for each in problems], "warnings": [each.data() for each in checked.warnings]}
        click.echo(json.dumps(shown, ensure_ascii=False))
    else:
        _tell(", ".join(files), checked, problems)
    sys.exit(1 if problems else 0)


def _tell(files: str, checked: Checked, problems: Sequence[Problem]) -> None:
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    if problems:
        click.echo("\n".join(str(problem) for problem in problems), err=True)
        click.echo(f"{files}: {_count(len(problems), 'error')}", err=True)
    else:
        workflows = sum(len(each.document.workflows) for each in checked.read)
        reactors = sum(len(each.document.reactors) for each in checked.read)
        click.echo(f"{files}: no errors, {_count(workflows, 'workflow')}, {_count(reactors, 'reactor')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
