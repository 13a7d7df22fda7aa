"""`list`: the workflows that run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from mmids_trio.cli.client.api import ApiClient
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.tables import HEADINGS, in_columns, rows, summary_of
from mmids_trio.errors import printable


@client_command("list")
@click.option("--names", is_flag=True, help="Print only the names, one per line, for scripts.")
@click.option("--set", "of_set", metavar="NAME", help="Only those of this set. Default: all.")
def list_workflows(session: CommandSession, *, names: bool, of_set: str | None) -> int:
    """List the workflows, in the order in which they started."""
    with session.api() as api:
        found = api.names()
        statuses = [] if names and of_set is None else list(_statuses(api, found, of_set))
        if of_set is not None:
            found = [name for name, _ in statuses]
        if names:
            session.output.document(found)
            for name in found:
                session.output.say(printable(name))
            return 0
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


def _statuses(api: ApiClient, names: Sequence[str], of_set: str | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of all of them, or of those of one set."""
    for name in names:
        status = api.workflow(name)
        if status is not None and (of_set is None or (status.get("owner") or {}).get("set") == of_set):
            yield name, status
