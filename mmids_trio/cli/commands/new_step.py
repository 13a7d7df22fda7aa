"""`new-step`: a small project with a step of one's own, its tests, and what has pip and the program find it."""

import shlex
import sys
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from re import fullmatch

import click

from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.cli.step_project import project_files
from mmids_trio.config.parser import parse
from mmids_trio.errors import MmidsError

LONGEST_NAME = 50
"""Characters of a name: lines of the project stay short enough to read."""

OWN_FOLDERS = ("src", "tests")
"""Of the project; a module called so would be hidden by them."""


@click.command("new-step")
@click.argument("name")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
def new_step(name: str, directory: Path | None) -> None:
    """Write a project with the step NAME into DIRECTORY (default: NAME), which must be new or empty.

    It has the step with typed parameters, tests that run it under 200 schedules, and a pyproject.toml by which
    mmids_trio finds the step once the project is installed.
    """
    target = Path(name) if directory is None else directory
    try:
        _check(name)
        _write(name, target)
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    python, folder = shlex.quote(sys.executable), shlex.quote(str(target))
    click.echo(
        f"{target}: a project with the step '{name}'. Next:\n"
        f"    cd {folder}\n"
        f"    {python} -m pip install --editable '.[test]'\n"
        f"    {python} -m pytest\n"
        f"    {python} -m mmids_trio steps {name}"
    )


def _check(name: str) -> None:
    if not fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name) or len(name) > LONGEST_NAME:
        hint = (
            f"; perhaps {name.lower().replace('-', '_')}"
            if fullmatch(r"[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", name)
            else ""
        )
        raise MmidsError(f"a name has 2 to {LONGEST_NAME} small letters, digits and '_', a letter first{hint}")
    known = KnownKinds.of(())(parse("", "")).steps
    for kind in known.types:
        if name in (kind.name, *kind.aliases):
            raise MmidsError(f"there is a step '{name}' already, of {kind.owner}")
    if iskeyword(name) or name in OWN_FOLDERS or _is_module(name):
        raise MmidsError(f"Python has a word or a module '{name}' already; take another name")


def _is_module(name: str) -> bool:
    """A directory without Python in it, which Python would also import, is none."""
    found = find_spec(name)
    return found is not None and found.origin is not None


def _write(name: str, target: Path) -> None:
    try:
        target.mkdir(exist_ok=True)
        if any(target.iterdir()):
            raise MmidsError(f"{target} is not empty; name a directory that is new")
        for path, text in project_files(name).items():
            file = target / path
            file.parent.mkdir(exist_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
    except OSError as error:
        raise MmidsError(f"cannot write {error.filename or target}: {error.strerror}") from error
