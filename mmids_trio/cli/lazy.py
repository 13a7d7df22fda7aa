"""A group of commands that are imported when they are used.

A command that talks to a server need not import one, and a server that starts need not import the commands.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import click

DEFAULT_CONFIGURATION = "mmids.config"
"""The file that is run where none is named."""


def load(place: str) -> Any:
    """What `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class LazyGroup(click.Group):
    """Commands by name, each given as the place (`module:name`) where it is."""

    def __init__(self, *arguments: Any, places: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order in which help shows them."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported."""
        if cmd_name not in self._places:
            return None
        command: click.Command = load(self._places[cmd_name])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, and its arguments. Raises `click.UsageError`, which says what was perhaps meant."""
        name = args[0]
        if name in self._places or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if close := get_close_matches(name, self._places, n=1):
            hint = f"did you mean '{close[0]}'?"
        elif Path(name).is_file():
            hint = f"to run the file, say --config {name}"
        else:
            hint = "--help lists the commands"
        raise click.UsageError(f"there is no command '{name}'; {hint}", ctx)
