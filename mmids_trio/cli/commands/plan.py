"""`plan`: what `apply` would do. Others that change something show their plans as it does."""

import click

from mmids_trio.cli.client.api import Api, Refused
from mmids_trio.cli.client.command import Session, client_command
from mmids_trio.cli.client.files import Merged, read_all
from mmids_trio.cli.client.plans import Plan, diff
from mmids_trio.cli.client.tables import texts_by_id, texts_of
from mmids_trio.config.parser import parse


def make_plan(api: Api, merged: Merged, *, prune: bool, if_match: str | None = None) -> Plan:
    """Ask for the plan. What the server finds in the files it says with their names and lines."""
    try:
        return api.plan(merged.text, prune=prune, if_match=if_match)
    except Refused as error:
        raise Refused(merged.localised(str(error)), status=error.status or 0, etag=error.etag) from None


def show_plan(session: Session, api: Api, plan: Plan, merged: Merged | None = None) -> None:
    """Print it for people."""
    if not session.output.as_json:
        session.output.show(diff(plan, _texts(api, plan, merged)))


def _texts(api: Api, plan: Plan, merged: Merged | None) -> dict[tuple[str, str], str]:
    texts = {}
    if plan.cuts or merged is None:
        running = parse(api.request("GET", "/config").text, "running configuration")
        texts.update(texts_by_id(running.workflows))
    definitions = {workflow.name: workflow for workflow in merged.workflows} if merged else {}
    for view in plan.changing:
        wanted = [step.step_id for step in view.steps if step.action != "stop"]
        if view.workflow in definitions:
            written = texts_of(definitions[view.workflow])
            texts.update({(view.workflow, step_id): text for step_id, text in zip(wanted, written, strict=False)})
    return texts


@client_command("plan")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option("--prune", is_flag=True, help="Plan to stop what the files do not name (except workflows of reactors).")
def plan(session: Session, *, paths: tuple[str, ...], prune: bool) -> int:
    """Show what apply would change: steps kept (=), started (+) and stopped (-), and whom it disconnects.

    A DIR stands for its *.mmids files, in the order of their names; - is standard input.
    Exit status: 0 no changes, 2 changes, 1 error.
    """
    merged = read_all(paths)
    for note in merged.notes:
        session.output.warn(note)
    with session.api() as api:
        planned = make_plan(api, merged, prune=prune)
        show_plan(session, api, planned, merged)
    session.output.document({**planned.document, "etag": planned.etag})
    return planned.exit_status
