"""The program `python -m mmids_trio`: its commands, and which module each of them is in."""

import sys
from pathlib import Path

import click

from mmids_trio import __version__
from mmids_trio.cli.lazy import DEFAULT_CONFIGURATION, LazyGroup, load

SERVER = "mmids_trio.cli.serving:complain_or_run"

CLIENT = "mmids_trio.cli.client"

COMMANDS = {
    "check": "mmids_trio.cli.checking:check",
    "plan": f"{CLIENT}.plan_command:plan",
    "apply": f"{CLIENT}.apply_command:apply",
    "reload": f"{CLIENT}.reload_command:reload",
    "list": f"{CLIENT}.looking:list_workflows",
    "show": f"{CLIENT}.looking:show",
    "export": f"{CLIENT}.looking:export",
    "wait": f"{CLIENT}.wait_command:wait",
    "delete": f"{CLIENT}.delete_command:delete",
    "events": f"{CLIENT}.events_command:events",
    "sign-play-url": "mmids_trio.cli.sign_play_url:sign_play_url",
    "capture": "mmids_trio.cli.capture_command:capture",
    "record": "mmids_trio.cli.capture_command:record",  # says what it is called now
    "replay": "mmids_trio.cli.replay_command:replay",
    "reactor-test-server": "mmids_trio.cli.reactor_test_server:reactor_test_server",
}


@click.group(cls=LazyGroup, places=COMMANDS, invoke_without_command=True)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIGURATION,
    show_default=True,
    help="Configuration file.",
)
@click.version_option(__version__, prog_name="mmids_trio", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, config: Path) -> None:
    """Live-video workflow server: run the workflows of a configuration file until a signal comes.

    SIGINT or SIGTERM stops the server in good order within 5 seconds; a second one at once. SIGHUP makes it read
    its configuration file again. The environment variable mmids_log sets the log level: error, warn, info (default)
    or debug.

    The commands plan to events talk to a running server: see "COMMAND --help".
    """
    if context.invoked_subcommand is None:
        sys.exit(load(SERVER)(config))


if __name__ == "__main__":
    main(prog_name="python -m mmids_trio")
