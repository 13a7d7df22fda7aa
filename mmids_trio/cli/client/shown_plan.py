"""Showing a plan: the steps that it starts are those of the files, those that it stops are asked for."""

from mmids_trio.cli.client.api import Api, Refused
from mmids_trio.cli.client.command import Session
from mmids_trio.cli.client.diff import diff
from mmids_trio.cli.client.merging import Merged
from mmids_trio.cli.client.plans import Plan
from mmids_trio.cli.client.step_texts import texts_by_id, texts_of
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
