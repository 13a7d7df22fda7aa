"""`wait`: until a workflow runs, or all of the configuration file do."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from mmids_trio.cli.client.api import Unreachable
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import printable

LOOK_SECONDS = 0.2
"""Between two looks: short for whoever waits, and nothing for a server, which answers hundreds of them a second."""

RUNNING = "Running"


@client_command("wait")
@click.argument("name", required=False)
@click.option("--ready", "for_all", is_flag=True, help="Wait for all workflows of the configuration file.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=30, show_default=True, metavar="SECONDS", help="How long to wait."
)
def wait(session: CommandSession, *, name: str | None, for_all: bool, timeout: float) -> int:
    """Wait until a workflow runs and has no pending update. It need not exist yet.

    With --ready, wait until the server is there and all workflows of its configuration file run.

    Exit status: 0 it runs; 1 it is in error or does not run in time.
    """
    if for_all == (name is not None):
        raise click.UsageError("Give either NAME or --ready.")
    return _wait_for_all(session, timeout) if name is None else _wait_for_one(session, name, timeout)


def _wait_for_all(session: CommandSession, timeout: float) -> int:
    with session.api() as api, session.output.working(f"waiting for the server, for {timeout:g} s at most"):
        reasons = wait_until_ready(api.unready, timeout)
    if reasons is not None:
        why = "; ".join(printable(reason) for reason in reasons) or "it tells why with MMIDS_TOKEN only"
        raise ClientError(f"the server is not ready after {timeout:g} s: {why}")
    session.output.document({"ready": True})
    session.output.say("the server is ready", "green")
    return 0


def _wait_for_one(session: CommandSession, name: str, timeout: float) -> int:
    with session.api() as api, session.output.working(f"waiting for '{printable(name)}', for {timeout:g} s at most"):
        status = wait_until_settled(lambda: api.workflow(name), timeout)
    if status is None or status.get("pending_steps"):
        what = "there is no such workflow" if status is None else "its update is still pending"
        raise ClientError(f"workflow '{printable(name)}' does not run after {timeout:g} s: {what}")
    if status["status"] != RUNNING:
        raise ClientError(f"workflow '{printable(name)}' is in error: {printable(str(status['status']), kept=chr(10))}")
    session.output.document({"name": name, **status})
    session.output.say(f"workflow '{printable(name)}' runs", "green")
    return 0


def wait_until_ready(
    look: Callable[[], Sequence[str] | None],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Sequence[str] | None:
    """Why the server is not ready when the time is over; a server that cannot be reached yet is not ready either."""
    deadline = now() + seconds
    while True:
        try:
            reasons = look()
        except Unreachable as error:
            reasons = [str(error)]
        left = deadline - now()
        if reasons is None or left <= 0:
            return reasons
        pause(min(LOOK_SECONDS, left))


def wait_until_settled(
    look: Callable[[], Mapping[str, Any] | None],
    seconds: float,
    *,
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any] | None:
    """What a last look sees: of a workflow that is there without a pending update, or when the time is over."""
    deadline = now() + seconds
    while True:
        status = look()
        left = deadline - now()
        if left <= 0 or (status is not None and not status.get("pending_steps")):
            return status
        pause(min(LOOK_SECONDS, left))
