"""`show`: one workflow."""

import click

from mmids_trio.cli.client.api import missing
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.tables import description


@client_command("show")
@click.argument("name")
def show(session: CommandSession, *, name: str) -> int:
    """Show a workflow: its steps, their states and clients."""
    with session.api() as api:
        status = api.workflow(name)
        if status is None:
            raise missing(api, name)
    session.output.document({"name": name, **status})
    for line in description(name, status):
        session.output.say(line)
    return 0
