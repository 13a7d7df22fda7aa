"""`reload`: have the server read its configuration file again, after a look at what that would do."""

from collections.abc import Mapping
from typing import Any

import click

from mmids_trio.cli.client.api import ApiAnswer, ApiClient, Refused, given, lost_races
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.plans import read_plan, too_many
from mmids_trio.cli.commands.plan import in_place_option, show_keys_option, show_plan
from mmids_trio.config.settings import MOST_DISCONNECTS
from mmids_trio.errors import printable

REFUSED = 3
"""Exit status where a guard keeps the file from being put in place."""


@client_command("reload")
@click.option(
    "--wait",
    type=click.FloatRange(0, 300),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait. A change that is still pending then continues, and the exit status is 1.",
)
@click.option("--yes", is_flag=True, help="Do not ask. (Without a terminal the command never asks.)")
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@click.option(
    "--max-disconnects",
    type=click.IntRange(0, MOST_DISCONNECTS),
    metavar="N",
    help="Change nothing if the reload would disconnect more clients than N. Default: no limit.",
)
@click.option("--allow-empty", is_flag=True, help="Allow a file that defines no workflow to stop everything.")
@show_keys_option
@in_place_option
def reload(
    session: CommandSession,
    *,
    wait: float,
    yes: bool,
    dry_run: bool,
    max_disconnects: int | None,
    allow_empty: bool,
    show_keys: bool,
    in_place: bool | None,
) -> int:
    """Make the server read its configuration file again: show the plan, ask, then apply all of it or nothing.

    Exit status: 0 reloaded, also if nothing had to change; 1 error; 3 refused: too many disconnects, or all workflows
    would stop.
    """
    with session.api() as api:
        planned = _request(api, given(dry_run=True, show_keys=show_keys or None, in_place=in_place))
        plan = read_plan(_report(planned.json())["plan"], planned.etag)
        show_plan(session, plan)
        if refusal := too_many(plan, max_disconnects):
            raise ClientError(refusal, exit_status=REFUSED)
        if dry_run:
            return _show(session, planned)
        if plan.changed and not yes and not session.output.ask("Reload this?"):
            raise ClientError("not reloaded; nothing was changed")
        params = {"wait": f"{wait:g}", **given(allow_empty=allow_empty or None, in_place=in_place)}
        if max_disconnects is not None:
            params["max_disconnects"] = str(max_disconnects)
        with session.output.working(f"reloading {api.url}, for {wait:g} s at most"), lost_races():
            answer = _request(api, params, wait=wait, if_match=planned.etag)
    status = _show(session, answer)
    session.output.say("reloaded", "bold green")
    return status


def _request(api: ApiClient, params: Mapping[str, str], *, wait: float = 0, if_match: str | None = None) -> ApiAnswer:
    headers = {} if if_match is None else {"If-Match": if_match}
    try:
        return api.request("POST", "/config/reload", params=params, headers=headers, wait=wait)
    except Refused as error:
        raise _told(error) from None


def _show(session: CommandSession, answer: ApiAnswer) -> int:
    report = _report(answer.json())
    session.output.document({**report, "etag": answer.etag})
    for name in report["kept_away"]:
        session.output.warn(f"workflow {printable(str(name))} of the file stays away: the API has deleted it")
    for warning in report["warnings"]:
        session.output.warn(f"warning: {warning}")
    if report["applied_settings"]:
        session.output.say(f"settings that now apply: {', '.join(report['applied_settings'])}")
    if report["needs_restart"]:
        session.output.warn(f"settings that need a restart: {', '.join(report['needs_restart'])}")
    return 0


def _report(document: Any) -> Mapping[str, Any]:
    lists = ("warnings", "kept_away", "applied_settings", "needs_restart")
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in lists):
        raise ClientError("the answer is not the report of a reload; is this the HTTP API of an mmids_trio?")
    return document


def _told(error: Refused) -> Refused:
    message = str(error)
    if error.is_unknown:
        message = "this server was not started from a configuration file, so there is nothing to reload"
    elif error.refused_by == "allow_empty":
        message = f"not reloaded: {message.replace('allow it', '--allow-empty allows it')}"
    elif error.status in (400, 409):
        message = f"not reloaded: {message}\nthe server is as it was before"
    exit_status = REFUSED if error.refused_by else 1
    return Refused(message, status=error.status or 0, etag=error.etag, exit_status=exit_status)
