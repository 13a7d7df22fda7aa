"""`list`: the workflows that run."""

import click

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.tables import HEADINGS, in_columns, rows, summary_of
from mmids_trio.errors import printable


@client_command("list")
@click.option("--names", is_flag=True, help="Print only the names, one per line, for scripts.")
def list_workflows(session: CommandSession, *, names: bool) -> int:
    """List the workflows, in the order in which they started."""
    with session.api() as api:
        found = api.names()
        if names:
            session.output.document(found)
            for name in found:
                session.output.say(printable(name))
            return 0
        statuses = [(name, status) for name in found if (status := api.workflow(name)) is not None]
    summaries = [summary_of(name, status) for name, status in statuses]
    session.output.document(summaries)
    if summaries:
        heading, *lines = in_columns([HEADINGS, *rows(summaries)])
        session.output.say(heading, "bold")
        for summary, line in zip(summaries, lines, strict=True):
            session.output.say(line, "" if summary["status"] == "Running" else "red")
    else:
        session.output.say("No workflows are running")
    return 0
