"""Running a server from a configuration file: signals, exit status, and when the welcome is printed."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click
import structlog
import trio

from mmids_trio.cli import collecting
from mmids_trio.cli.known_kinds import KnownKinds
from mmids_trio.cli.welcome import (
    Address,
    Reach,
    address_for_others,
    addresses,
    open_doors,
    page_to_try,
    pages,
    welcome,
)
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import MmidsError, leaves
from mmids_trio.late import late
from mmids_trio.reload.configuration_file import Configuration
from mmids_trio.server import logs
from mmids_trio.server.app import Server
from mmids_trio.server.building import NO_HOOKS, Hooks, build_server
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.status import PlanView

if TYPE_CHECKING:
    from mmids_trio import qr as qr_codes
else:
    qr_codes = late("mmids_trio.qr")

log = structlog.get_logger()

WELCOME_SECONDS = 5.0
"""How long the welcome waits for the workflows to come up, so that it names the ports that are really open."""

STDOUT, STDERR = 1, 2

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Build(Protocol):
    """Builds a server with all but its hooks known."""

    def __call__(self, *, hooks: Hooks = NO_HOOKS) -> Server: ...


Run = Callable[[Configuration, Build], Awaitable[None]]
"""Runs a server that it builds, until a signal comes."""


def complain_or_run(config: Path, run: Run | None = None, *, modules: Sequence[str] = (), qr: bool = False) -> int:
    """Run a server, in the usual way without `run`; the exit status. `modules` have steps and executors of one's own.

    `qr`: whether the welcome shows the page's address as a code for phones.

    What an operator can mend is one message, never a traceback.
    """
    status = 0
    open_standard_streams()
    try:
        level = logs.level_from(os.environ)
        known = KnownKinds.of(modules)
        configuration = known.read(config)
        settings = configuration.settings
        bounds = logs.Logging.of(settings)
        bounds.outside.add(configuration.values)
        directory = None if settings.log_path is None else Path(settings.log_path)
        with logs.configure(
            level=level, directory=directory, console=sys.stderr, form=settings.log_console, bounds=bounds
        ) as log:
            logs.warn_of_unknown_level(os.environ)
            build = partial(
                build_server,
                settings,
                configuration.document.reactors,
                webhooks=configuration.document.webhooks,
                cluster=configuration.document.cluster,
                more_steps=known.plugins.steps,
                more_executors=known.plugins.executors,
                configuration_file=configuration.file,
                watched=configuration.patterns,
                load_again=partial(known.read_again, config),
                log=log,
            )
            trio.run(run or partial(_run_plain, qr=qr), configuration, build)
    except* MmidsError as group:
        status = 1
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
    return status


def open_standard_streams() -> None:
    """Have standard input, output and error go nowhere where they are closed (`2>&-`).

    Otherwise the next file or socket would get their numbers, and be sent what is printed.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    while nothing <= STDERR:
        nothing = os.dup(nothing)
    os.close(nothing)
    for number, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115 - to the end


async def _run_plain(configuration: Configuration, build: Build, *, qr: bool) -> None:
    """Run the server as it is configured."""
    await run_server(configuration, build(), qr=qr)


async def run_server(
    configuration: Configuration,
    server: Server,
    tell: Callable[[Sequence[Change[PlanView]]], None] = lambda _: None,
    *,
    qr: bool = False,
) -> None:
    """Run a server until a signal comes; `tell` hears what it has started with."""
    for warning in configuration.document.warnings:
        log.warning("configuration", problem=warning.summary)
    workflows = configuration.document.workflows
    collecting.while_starting()
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            nursery.start_soon(_stop_on_signals, signals, server, nursery.cancel_scope)
            async with trio.open_nursery() as running:
                changes = await running.start(server.run, workflows)
                tell(changes)
                nursery.start_soon(server.look_for_ffmpeg)  # which the end of the server does not wait for
                collecting.while_running()
                running.start_soon(_say_welcome, server, changes, qr)
            nursery.cancel_scope.cancel()


async def _stop_on_signals(signals: AsyncIterator[int], server: Server, everything: trio.CancelScope) -> None:
    async for number in signals:
        name = signal.Signals(number).name
        if number == signal.SIGHUP and server.reloader is not None:
            log.info("reloading the configuration", signal=name)
            server.reloader.request("signal")
        elif server.is_stopping:
            log.warning("stopping at once", signal=name)
            everything.cancel()
        else:
            log.info("stopping", signal=name)
            server.stop()


def started_definitions(server: Server, changes: Sequence[Change[PlanView]]) -> list[WorkflowDefinition]:
    """What the workflows are to be now that were started with the server."""
    wanted = [server.workflows.definition(change.plan.workflow) for change in changes]
    return [definition for definition in wanted if definition is not None]


async def _say_welcome(server: Server, changes: Sequence[Change[PlanView]], qr: bool) -> None:
    with trio.move_on_after(WELCOME_SECONDS):
        for change in changes:
            await change.wait_outcome()
    if not server.is_stopping:
        workflows = [each for each in started_definitions(server, changes) if not _has_failed(server, each.name)]
        reach = Reach.of(server.settings.rtmp_host, address_for_others)
        settings = server.settings
        web = Reach.of(settings.http_media_host, address_for_others)
        lines = [
            *addresses(workflows, reach.host, server.rtmp.bound_port),
            *pages(workflows, web, settings.http_media_port, server.media.bound_port),
        ]
        text = welcome(lines, server.api_url, reach, open_doors(workflows))
        _tell(f"{text}\n\n{_code(lines)}" if qr else text)


def _code(lines: Sequence[Address]) -> str:
    page = page_to_try(lines)
    if page is None:
        return "  --qr: no workflow has a page (http_watch)"
    try:
        return qr_codes.for_terminal(qr_codes.encode(page), colours=sys.stdout.isatty())
    except ValueError as error:
        return f"  --qr: {error}"


def _has_failed(server: Server, name: str) -> bool:
    status = server.workflows.status(name)
    return status is None or status.state == "error"


def _tell(text: str) -> None:
    """Print on stdout; the server goes on where nobody reads it any more (`... | head -1`)."""
    try:
        click.echo(text)
    except OSError as error:
        log.warning("the welcome cannot be printed", reason=error.strerror)
        with open(os.devnull, "wb") as nothing:  # what is left in the buffer goes there when the program ends
            os.dup2(nothing.fileno(), sys.stdout.fileno())
