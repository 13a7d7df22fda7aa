"""`reload`: have the server read its configuration file again."""

from collections.abc import Mapping
from typing import Any

import click

from mmids_trio.cli.client.api import Refused
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.plans import read_plan
from mmids_trio.cli.commands.plan import show_plan


@client_command("reload")
@click.option(
    "--wait",
    type=click.FloatRange(0, 300),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait. A change that is still pending then continues, and the exit status is 1.",
)
def reload(session: CommandSession, *, wait: float) -> int:
    """Make the server read its configuration file again and apply all of it or nothing.

    Exit status: 0 reloaded, also if nothing had to change; 1 error.
    """
    with session.api() as api:
        with session.output.working(f"reloading {api.url}, for {wait:g} s at most"):
            try:
                answer = api.request("POST", "/config/reload", params={"wait": f"{wait:g}"}, wait=wait)
            except Refused as error:
                raise _told(error) from None
        report = _report(answer.json())
        show_plan(session, read_plan(report["plan"], answer.etag))
    session.output.document({**report, "etag": answer.etag})
    for warning in report["warnings"]:
        session.output.warn(f"warning: {warning}")
    if report["applied_settings"]:
        session.output.say(f"settings that now apply: {', '.join(report['applied_settings'])}")
    if report["needs_restart"]:
        session.output.warn(f"settings that need a restart: {', '.join(report['needs_restart'])}")
    session.output.say("reloaded", "bold green")
    return 0


def _report(document: Any) -> Mapping[str, Any]:
    lists = ("warnings", "applied_settings", "needs_restart")
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in lists):
        raise ClientError("the answer is not the report of a reload; is this the HTTP API of an mmids_trio?")
    return document


def _told(error: Refused) -> Refused:
    message = str(error)
    if error.is_unknown:
        message = "this server was not started from a configuration file, so there is nothing to reload"
    elif error.status in (400, 409):
        message = f"not reloaded: {message}\nthe server is as it was before"
    return Refused(message, status=error.status or 0)
