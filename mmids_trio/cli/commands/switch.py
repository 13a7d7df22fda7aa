"""`switch`: have a step with several sources send another one."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

import click

from mmids_trio.cli.client.api import missing, workflow_path
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import printable


@client_command("switch")
@click.argument("workflow")
@click.argument("step", metavar="STEP-OR-TYPE")
@click.argument("to")
def switch(session: CommandSession, *, workflow: str, step: str, to: str) -> int:
    """Make a step (failover) send its source TO, from the next key frame of that source on.

    STEP-OR-TYPE is the id of a step, or its type where the workflow has one such step.
    Exit status: 0 it switches, or sends that source already; 1 error, also if the source sends nothing.
    """
    with session.api() as api:
        status = api.workflow(workflow)
        if status is None:
            raise missing(api, workflow)
        step_id = step_named(step, workflow, status)
        path = f"{workflow_path(workflow)}/steps/{quote(step_id, safe='')}/switch"
        sent = api.request("POST", path, params={"to": to}).json()
    if not isinstance(sent, Mapping) or not {"sending", "wanted"} <= set(sent):
        raise ClientError("the answer does not say what is sent; is this the HTTP API of an mmids_trio?")
    session.output.document({"name": workflow, "step_id": step_id, **sent})
    now = f"sends '{printable(str(sent['sending']))}'" if sent["sending"] else "sends nothing"
    then = f"; '{printable(str(sent['wanted']))}' from its next key frame on" if sent["wanted"] else ""
    session.output.say(now + then, "green")
    return 0


def step_named(step: str, workflow: str, status: Mapping[str, Any]) -> str:
    """The id of the step that is meant. Raises `ClientError`, which names the steps that there are."""
    steps = {str(each["step_id"]): str(each["step_type"]) for each in status["active_steps"]}
    if step in steps:
        return step
    of_type = [step_id for step_id, step_type in steps.items() if step_type == step]
    if len(of_type) == 1:
        return of_type[0]
    there = ", ".join(f"{step_type} ({step_id})" for step_id, step_type in steps.items()) or "none"
    if of_type:
        reason = f"has {len(of_type)} steps of the type {printable(step)}; name one by its id"
    else:
        close = get_close_matches(step, steps.values(), n=1)
        reason = f"has no step '{printable(step)}'" + (f" (did you mean '{close[0]}'?)" if close else "")
    raise ClientError(f"workflow '{printable(workflow)}' {reason}; its steps: {printable(there)}", status=404)
