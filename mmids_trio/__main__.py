"""The program `python -m mmids_trio`: command line, signals, exit status."""

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from time import time

import click
import structlog
import trio

from mmids_trio import __version__, logs
from mmids_trio.app import Server
from mmids_trio.cli.configuration_file import Configuration, load
from mmids_trio.cli.reactor_test_server import DEFAULT_DIRECTORY, DEFAULT_PORT, run_until_signal
from mmids_trio.cli.recording import DEFAULT_MAX_MIB, Options, recorded
from mmids_trio.cli.replaying import load_tape, write_log
from mmids_trio.cli.sign_play_url import signed_url
from mmids_trio.cli.welcome import addresses, welcome
from mmids_trio.config.parser import Document
from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError, MmidsError, leaves
from mmids_trio.recording.attachment import attach, note_kept_state
from mmids_trio.recording.masking import FULL, HEADERS, KEEP, MASK
from mmids_trio.workflow.change import Change

log = structlog.get_logger()

DEFAULT_CONFIGURATION = "mmids.config"

PLAY_KEY_VARIABLE = "mmids_play_key"

WELCOME_SECONDS = 5.0
"""How long the welcome waits for the workflows to come up, so that it names the ports that are really open."""

START_GC_THRESHOLDS = (20_000, 20, 50)
"""While the server starts. Python's own made 10,000 workflows of 3 steps start in 10.7 s instead of 3.9 s: almost
everything that is made then lives until the end, and would be looked at again and again."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(invoke_without_command=True)
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
    """
    if context.invoked_subcommand is None:
        sys.exit(_complain_or_run(config))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration FILE and print every problem; exit status 0 if it may run, else 1."""
    try:
        configuration = load(file, _kinds)
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


@main.command("reactor-test-server")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port to open.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_DIRECTORY),
    show_default=True,
    help="Where the answers are: CATEGORY/STREAM.mmids.",
)
def reactor_test_server(port: int, directory: Path) -> None:
    """Answer simple_http reactors from files, for trying them out."""
    status = 0
    try:
        trio.run(run_until_signal, directory, port, click.echo)
    except* MmidsError as group:
        status = 1
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
    sys.exit(status)


@main.command()
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
    sys.exit(_complain_or_run(config, Options(out, media, secrets, max_size)))


@main.command()
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--log", "log_file", type=click.Path(path_type=Path), help="Where the lines go, instead of stdout.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Order of tasks and random numbers.")
def replay(tape: Path, log_file: Path | None, seed: int) -> None:
    """Replay a recorded TAPE in memory, on a virtual clock, and print what happened: twice the same, byte for byte."""
    from mmids_trio.testing.replay import run_replay  # noqa: PLC0415 - a server has no use for the test kit

    try:
        level = logs.level_from({"mmids_log": "error", **os.environ})
        with logs.configure(level=level, directory=None, console=sys.stderr):
            replayed = run_replay(load_tape(tape), seed=seed)
        if log_file is None:
            click.echo(replayed.text, nl=False)
        else:
            write_log(log_file, replayed.text)
    except* MmidsError as group:
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
        sys.exit(1)


@main.command("sign-play-url")
@click.argument("url")
@click.option(
    "--play-key", envvar=PLAY_KEY_VARIABLE, prompt=True, hide_input=True, help="The play_key of the rtmp_watch."
)
@click.option("--valid-for", type=click.IntRange(1), default=3600, show_default=True, help="Seconds from now.")
def sign_play_url(url: str, play_key: str, valid_for: int) -> None:
    """Print URL with a token that lets a player in for a while.

    The play key is asked for, unless the environment variable mmids_play_key has it; as an option other users of the
    machine can see it.
    """
    try:
        click.echo(signed_url(url, play_key, int(time()) + valid_for))
    except MmidsError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


def _kinds(document: Document) -> Server:
    """What a configuration may name: the kinds of steps and executors of a server that is not run."""
    return Server(Settings(), document.reactors)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _complain_or_run(config: Path, options: Options | None = None) -> int:
    """Run a server; the exit status. What an operator can mend is one message, never a traceback."""
    status = 0
    try:
        level = logs.level_from(os.environ)
        configuration = load(config, _kinds)
        with logs.configure(level=level, directory=Path(configuration.settings.log_path), console=sys.stderr):
            server = Server(
                configuration.settings,
                configuration.document.reactors,
                configuration_file=configuration.file,
                load_again=partial(load, config, _kinds),
            )
            if options is None:
                trio.run(_run, configuration, server)
            else:
                trio.run(_run_recorded, configuration, server, options)
    except* MmidsError as group:
        status = 1
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
    return status


async def _run_recorded(configuration: Configuration, server: Server, options: Options) -> None:
    async with recorded(configuration, options, __version__) as recorder:
        attach(recorder, server)

        def note(changes: Sequence[Change]) -> None:
            note_kept_state(recorder, server, configuration, [change.definition for change in changes])

        await _run(configuration, server, note)


async def _run(
    configuration: Configuration, server: Server, tell: Callable[[Sequence[Change]], None] = lambda _: None
) -> None:
    """Run a server until a signal comes; `tell` hears what it has started with."""
    for warning in configuration.document.warnings:
        log.warning("configuration", problem=str(warning))
    workflows = configuration.document.workflows
    usual_thresholds = gc.get_threshold()
    gc.set_threshold(*START_GC_THRESHOLDS)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            nursery.start_soon(_stop_on_signals, signals, server, nursery.cancel_scope)
            async with trio.open_nursery() as running:
                changes = await running.start(server.run, workflows)
                tell(changes)
                nursery.start_soon(server.look_for_ffmpeg)  # which the end of the server does not wait for
                gc.freeze()
                gc.set_threshold(*usual_thresholds)
                running.start_soon(_say_welcome, server, changes)
            nursery.cancel_scope.cancel()


async def _stop_on_signals(signals: AsyncIterator[int], server: Server, everything: trio.CancelScope) -> None:
    async for number in signals:
        name = signal.Signals(number).name
        if number == signal.SIGHUP and server.reloader is not None:
            log.info("reloading the configuration", signal=name)
            server.reloader.request()
        elif server.is_stopping:
            log.warning("stopping at once", signal=name)
            everything.cancel()
        else:
            log.info("stopping", signal=name)
            server.stop()


async def _say_welcome(server: Server, changes: Sequence[Change]) -> None:
    with trio.move_on_after(WELCOME_SECONDS):
        for change in changes:
            await change.wait()
    if not server.is_stopping:
        workflows = [change.definition for change in changes]
        lines = list(addresses(workflows, server.settings.rtmp_host or "127.0.0.1", server.rtmp.bound_port))
        _tell(welcome(lines, server.api_url))


def _tell(text: str) -> None:
    """Print on stdout; the server goes on where nobody reads it any more (`... | head -1`)."""
    try:
        click.echo(text)
    except OSError as error:
        log.warning("the welcome cannot be printed", reason=error.strerror)
        with open(os.devnull, "wb") as nothing:  # what is left in the buffer goes there when the program ends
            os.dup2(nothing.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main(prog_name="python -m mmids_trio")
