"""Options that many commands have, and that may also stand before the command: what shells and habits ask for."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

SERVER, TOKEN, JSON, LOAD = "server", "token", "as_json", "load"
"""The names under which functions get them."""


class CommonOption(click.Option):
    """An option of a command that its group takes, too: what stands behind the command wins, the environment loses."""

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """As usual, with a look at the group between the command line and the environment."""
        before = ctx.find_root().params.get(self.name or "")
        if self.name not in opts and before:
            return before, ParameterSource.COMMANDLINE
        return super().consume_value(ctx, opts)


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

json_option: Decorator = click.option(
    "--json", JSON, cls=CommonOption, is_flag=True, envvar="MMIDS_JSON", help="Print JSON. [env: MMIDS_JSON]"
)
"""For each command that has something to say to programs."""

_BEFORE = (
    click.option(
        "--load",
        LOAD,
        multiple=True,
        metavar="MODULE",
        help="Python module with steps or executors of one's own; may be repeated. The setting 'load' names some, too.",
    ),
    click.option("--json", JSON, is_flag=True, help="For a COMMAND: print JSON."),
    click.option("--token", metavar="TEXT", help="For a COMMAND: the server's http_api_token."),
    click.option("--server", metavar="URL", help="For a COMMAND: address of the HTTP API."),
)


def before_commands(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a group take the options, for its commands."""
    for option in _BEFORE:
        function = option(function)
    return function


def check_before(context: click.Context) -> None:
    """That the command takes what stands before it. Raises `click.UsageError`."""
    group, name = context.command, context.invoked_subcommand
    assert isinstance(group, click.Group)
    command = None if name is None else group.get_command(context, name)
    taken = set() if command is None else {parameter.name for parameter in command.params}
    if command is None:
        taken = {LOAD}
    for parameter in group.params:
        is_common = parameter.name in (SERVER, TOKEN, JSON, LOAD)
        if is_common and parameter.name not in taken and context.params[parameter.name or ""]:
            who = "a server that starts" if command is None else f"the command '{name}'"
            raise click.UsageError(f"{who} takes no {parameter.opts[0]}", context)
