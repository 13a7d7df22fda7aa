"""A group of commands that are imported when they are used.

A command that talks to a server need not import one, and a server that starts need not import the commands.
"""

from collections.abc import Mapping
from importlib import import_module
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
