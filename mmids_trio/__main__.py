"""The program `python -m mmids_trio`: its commands, and which module each of them is in."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import click

from mmids_trio import __version__
from mmids_trio.cli import collecting
from mmids_trio.cli.common_options import LOAD, before_commands, check_before
from mmids_trio.cli.lazy import DEFAULT_CONFIGURATION, LazyGroup, load
from mmids_trio.late import without

SERVER = "mmids_trio.cli.serving:complain_or_run"

COMMANDS = {
    name: f"mmids_trio.cli.commands.{name.replace('-', '_')}:{function}"
    for name, function in (
        ("check", "check"),
        ("steps", "steps"),
        ("new-step", "new_step"),
        ("plan", "plan"),
        ("apply", "apply"),
        ("reload", "reload"),
        ("list", "list_workflows"),
        ("show", "show"),
        ("export", "export"),
        ("wait", "wait"),
        ("delete", "delete"),
        ("switch", "switch"),
        ("streams", "streams"),
        ("clients", "clients"),
        ("kick", "kick"),
        ("ban", "ban"),
        ("cluster", "cluster"),
        ("drain", "drain"),
        ("top", "top"),
        ("events", "events"),
        ("changes", "changes"),
        ("logs", "logs"),
        ("token", "token"),
        ("sign-play-url", "sign_play_url"),
        ("capture", "capture"),
        ("record", "record"),  # says what it is called now
        ("replay", "replay"),
        ("reactor-test-server", "reactor_test_server"),
        ("completion", "completion"),
    )
}
"""Where each command is: in the module that has its name."""


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIGURATION,
    show_default=True,
    help="Configuration file.",
)
@click.option("--qr", is_flag=True, help="Show the address of the player's page as a QR code.")
@before_commands
@click.version_option(__version__, prog_name="mmids_trio", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, /, *, config: Path, qr: bool, **common: object) -> None:
    """Live-video workflow server. Without a COMMAND, it runs the workflows of a configuration file.

    SIGINT or SIGTERM stops the server within 5 seconds, a second one stops it at once. SIGHUP reloads the configuration
    file. The environment variable MMIDS_LOG sets the log level: error, warn, info (default) or debug.

    The commands plan to events talk to a running server: see "COMMAND --help".
    """
    check_before(context)
    if context.invoked_subcommand is None:
        collecting.while_starting()
        sys.exit(load_server()(config, modules=common[LOAD], qr=qr))


def load_server() -> Callable[..., int]:
    """What runs a server, imported.

    structlog takes rich along where it finds it: 3 MB for tracebacks that our logs never have.
    """
    with without("rich"):
        import_module("structlog")
    run: Callable[..., int] = load(SERVER)
    return run


if __name__ == "__main__":
    main(prog_name="python -m mmids_trio")
