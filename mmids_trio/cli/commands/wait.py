"""`wait`: until workflows run, or all of the configuration file do."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from mmids_trio.cli.client.api import Unreachable
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError, without_place
from mmids_trio.errors import printable

LOOK_SECONDS = 0.2
"""Between two looks: short for whoever waits, and nothing for a server, which answers hundreds of them a second."""

RUNNING = "Running"


@client_command("wait")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Wait for all workflows that the server has now.")
@click.option("--ready", "for_server", is_flag=True, help="Wait for all workflows of the configuration file.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=30, show_default=True, metavar="SECONDS", help="How long to wait."
)
def wait(session: CommandSession, *, names: tuple[str, ...], every: bool, for_server: bool, timeout: float) -> int:
    """Wait until workflows run and have no pending update. Those with a NAME need not exist yet.

    With --ready, wait until the server is there and all workflows of its configuration file run.

    Exit status: 0 they run; 1 one is in error or does not run in time.
    """
    if [bool(names), every, for_server].count(True) != 1:
        raise click.UsageError("Give either NAME..., --all or --ready.")
    return _wait_for_server(session, timeout) if for_server else _wait_for_workflows(session, names, timeout)


def _wait_for_server(session: CommandSession, timeout: float) -> int:
    with session.api() as api, session.output.working(f"waiting for the server, for {timeout:g} s at most"):
        reasons = wait_until_ready(api.unready, timeout)
    if reasons is not None:
        why = "; ".join(printable(reason) for reason in reasons) or "it tells why with MMIDS_TOKEN only"
        raise ClientError(f"the server is not ready after {timeout:g} s: {why}")
    session.output.document({"ready": True})
    session.output.say("the server is ready", "green")
    return 0


def _wait_for_workflows(session: CommandSession, names: Sequence[str], timeout: float) -> int:
    """One after the other, within one time; no names stand for all."""
    deadline = time.monotonic() + timeout
    with session.api() as api:
        wanted = list(dict.fromkeys(names)) or api.names()
        whom = f"'{printable(wanted[0])}'" if len(wanted) == 1 else f"{len(wanted)} workflows"
        with session.output.working(f"waiting for {whom}, for {timeout:g} s at most"):
            found = {
                name: wait_until_settled(partial(api.workflow, name), max(0.0, deadline - time.monotonic()))
                for name in wanted
            }
    problems = [problem for name, status in found.items() if (problem := _problem(name, status, timeout))]
    if problems:
        raise ClientError(
            "\n".join(problems), problems=[without_place(each) for each in problems] if len(wanted) > 1 else ()
        )
    documents = [{"name": name, **(status or {})} for name, status in found.items()]
    session.output.document(documents[0] if len(names) == 1 else {"workflows": documents})
    for name in found:
        session.output.say(f"workflow '{printable(name)}' runs", "green")
    return 0


def _problem(name: str, status: Mapping[str, Any] | None, timeout: float) -> str | None:
    """Why a workflow does not run as it should."""
    if status is None or status.get("pending_steps"):
        what = "there is no such workflow" if status is None else "its update is still pending"
        return f"workflow '{printable(name)}' does not run after {timeout:g} s: {what}"
    if status["status"] != RUNNING:
        return f"workflow '{printable(name)}' is in error: {printable(str(status['status']), kept=chr(10))}"
    return None


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
