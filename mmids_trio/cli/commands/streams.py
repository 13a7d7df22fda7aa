"""`streams`: what is on the air."""

from typing import get_args

import click

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.pages import STREAM_HEADINGS, everything, stream_row
from mmids_trio.cli.client.tables import in_columns
from mmids_trio.on_air.views import StreamState


@client_command("streams")
@click.option("--workflow", metavar="NAME", help="Only those of this workflow.")
@click.option("--state", type=click.Choice(get_args(StreamState)), help="Only those in this state.")
def streams(session: CommandSession, *, workflow: str | None, state: str | None) -> int:
    """List the streams on the air, the oldest first: from where they come, who watches, in what codec and bitrate."""
    with session.api() as api:
        found = list(everything(api, "streams", {"workflow": workflow, "state": state}))
    session.output.document(found)
    if not found:
        session.output.say("No streams are on the air")
        return 0
    heading, *lines = in_columns([STREAM_HEADINGS, *map(stream_row, found)])
    session.output.say(heading, "bold")
    for stream, line in zip(found, lines, strict=True):
        session.output.say(line, "" if stream["state"] == "live" else "red")
    return 0
