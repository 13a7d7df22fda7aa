"""`apply`: make the server match the files, in one transaction or workflow by workflow."""

import time
from typing import Any

import click
from attrs import frozen

from mmids_trio.cli.client.api import Api, Refused
from mmids_trio.cli.client.command import FAILED, Session, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.merging import Merged
from mmids_trio.cli.client.one_by_one import apply_one_by_one
from mmids_trio.cli.client.plans import Plan, read_plan, too_many
from mmids_trio.cli.client.races import lost_races
from mmids_trio.cli.client.shown_plan import make_plan, show_plan
from mmids_trio.cli.client.sources import read_all

LONGEST_WAIT_SECONDS = 300
"""What a server accepts as `wait`."""

MOST_CLIENTS = 999_999
"""What a server accepts as `max_disconnects`."""

APPLIED = 0


@frozen
class Wishes:
    """The options of one `apply`; `wait` is in seconds."""

    wait: float
    prune: bool
    yes: bool
    max_disconnects: int | None
    if_match: str | None
    on_error: str


@client_command("apply")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST_WAIT_SECONDS),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long the change may take; what is pending then goes on, and the exit status is 1.",
)
@click.option("--prune", is_flag=True, help="Stop what the files do not name (but for workflows of reactors).")
@click.option(
    "--on-error",
    type=click.Choice(["rollback", "error"]),
    default="rollback",
    show_default=True,
    help="rollback: all together, or nothing. error: workflow by workflow; one that fails stays in error.",
)
@click.option("--yes", is_flag=True, help="Do not ask. (Without a terminal nobody is asked.)")
@click.option(
    "--max-disconnects",
    type=click.IntRange(0, MOST_CLIENTS),
    metavar="N",
    help="Refuse, before anything is touched, to disconnect more clients. Default: any number.",
)
@click.option("--if-match", metavar="ETAG", help="Refuse unless the server still has what `plan --json` saw (`etag`).")
def apply(session: Session, *, paths: tuple[str, ...], **options: Any) -> int:
    """Make the server match the files: plan, show the plan, ask, and put it in place together or not at all.

    Of a DIR all *.mmids files count, in the order of their names; - is standard input. Nothing is changed if somebody
    else has changed the server since the plan was made.
    Exit status: 0 applied, also if nothing had to change; 1 an error, or refused.
    """
    merged = read_all(paths)
    for note in merged.notes:
        session.output.warn(note)
    wishes = Wishes(**options)
    with session.api() as api:
        with lost_races():
            plan = make_plan(api, merged, prune=wishes.prune, if_match=_quoted(wishes.if_match))
        show_plan(session, plan)
        if refusal := too_many(plan, wishes.max_disconnects):
            raise ClientError(refusal)
        if not plan.changed:
            session.output.document({"applied": True, "changed": False, "etag": plan.etag, "plan": plan.document})
            return APPLIED
        if not wishes.yes and not session.output.ask("Apply this?"):
            raise ClientError("not applied; nothing was changed")
        with lost_races():
            return _carry_out(session, api, merged, plan, wishes)


def _quoted(tag: str | None) -> str | None:
    """An entity tag in its quotes, which shells like to take away."""
    return f'"{tag}"' if tag and '"' not in tag else tag


def _carry_out(session: Session, api: Api, merged: Merged, plan: Plan, wishes: Wishes) -> int:
    if wishes.on_error == "error":
        return apply_one_by_one(
            session, api, merged, plan, wait=wishes.wait, prune=wishes.prune, allowed=wishes.max_disconnects
        )
    began = time.monotonic()
    with session.output.working(f"applying to {api.url}, for {wishes.wait:g} s at most"):
        try:
            answer = _put(api, merged, plan, wishes)
        except Refused as error:
            raise _told(error, merged) from None
    done = read_plan(answer.json(), answer.etag)
    session.output.say(f"applied in {time.monotonic() - began:.1f} s", "bold green")
    session.output.document({"applied": True, "changed": done.changed, "etag": done.etag, "plan": done.document})
    return APPLIED


def _put(api: Api, merged: Merged, plan: Plan, wishes: Wishes) -> Any:
    params = {"wait": f"{wishes.wait:g}", "on_error": "rollback"}
    if wishes.prune:
        params["prune"] = "true"
    if wishes.max_disconnects is not None:
        params["max_disconnects"] = str(wishes.max_disconnects)
    headers = {"If-Match": plan.etag} if plan.etag else {}
    return api.request("PUT", "/config", params=params, body=merged.text, headers=headers, wait=wishes.wait)


def _told(error: Refused, merged: Merged) -> Refused:
    """What a refusal means for what runs."""
    message = merged.localised(str(error))
    match error.status:
        case 409 if "nothing was changed" not in message:
            message = f"not applied: {message}\nthe server is as it was before"
        case 504:
            message += "; `wait NAME` and `plan` tell how it ends"
        case 507:
            message = f"applied, but a restart would forget it: {message}"
    return Refused(message, status=error.status or FAILED, etag=error.etag)
