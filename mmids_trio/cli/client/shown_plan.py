"""Asking for a plan and showing it."""

from mmids_trio.cli.client.api import Api, Refused
from mmids_trio.cli.client.command import Session
from mmids_trio.cli.client.diff import diff
from mmids_trio.cli.client.merging import Merged
from mmids_trio.cli.client.plans import Plan


def make_plan(api: Api, merged: Merged, *, prune: bool, if_match: str | None = None) -> Plan:
    """Ask for the plan. What the server finds in the files it says with their names and lines."""
    try:
        return api.plan(merged.text, prune=prune, if_match=if_match)
    except Refused as error:
        raise Refused(merged.localised(str(error)), status=error.status or 0, etag=error.etag) from None


def show_plan(session: Session, plan: Plan) -> None:
    """Print it for people. The steps are as the server shows them: it alone knows what is secret in them."""
    if not session.output.as_json:
        session.output.show(diff(plan))
