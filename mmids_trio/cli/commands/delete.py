"""`delete`: stop one workflow."""

import click

from mmids_trio.cli.client.api import lost_races, missing, workflow_path
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.plans import clients, count
from mmids_trio.cli.client.tables import summary_of
from mmids_trio.errors import printable


@client_command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask. (Without a terminal the command never asks.)")
def delete(session: CommandSession, *, name: str, yes: bool) -> int:
    """Stop a workflow, and return when nothing of it is left.

    Exit status: 0 stopped; 1 error, also if there is no such workflow.
    """
    with session.api() as api:
        status = api.workflow(name)
        if status is None:
            raise missing(api, name)
        etag = api.request("HEAD", workflow_path(name)).etag
        summary = summary_of(name, status)
        cut = clients(summary["publishers"], summary["watchers"])
        session.output.say(f"- workflow {printable(name)}, {count(summary['steps'], 'step')}: disconnects {cut}", "red")
        if not yes and not session.output.ask("Stop it?"):
            raise ClientError("not stopped; nothing was changed")
        with lost_races():
            api.request("DELETE", workflow_path(name), headers={"If-Match": etag} if etag else {})
    session.output.document({"name": name, "deleted": True})
    session.output.say("stopped", "bold green")
    return 0
