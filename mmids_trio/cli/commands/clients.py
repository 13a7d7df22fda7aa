"""`clients`: who publishes and who watches."""

import click

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.pages import CLIENT_HEADINGS, client_row, everything
from mmids_trio.cli.client.tables import in_columns


@client_command("clients")
@click.option("--stream", metavar="ID", help="Only those of this stream; see the command streams.")
@click.option("--address", metavar="IP", help="Only those from this address, or network.")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
def clients(session: CommandSession, *, stream: str | None, address: str | None, workflow: str | None) -> int:
    """List who publishes and who watches, from where, and how far behind."""
    with session.api() as api:
        found = list(everything(api, "clients", {"stream": stream, "address": address, "workflow": workflow}))
    session.output.document(found)
    if not found:
        session.output.say("No clients are here")
        return 0
    heading, *lines = in_columns([CLIENT_HEADINGS, *map(client_row, found)])
    session.output.say(heading, "bold")
    for line in lines:
        session.output.say(line)
    return 0
