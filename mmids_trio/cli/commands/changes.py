"""`changes`: what was changed, when and by whom."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.tables import in_columns
from mmids_trio.errors import printable

HEADINGS = ("ID", "TIME", "BY", "WORKFLOWS", "OUTCOME")
NAMED = 3
"""Workflows of a change that a line names."""

LONGEST_MESSAGE = 160
"""Characters of what a line says of an outcome; a name that a client made up has 100. `changes ID` has all of it."""

USUAL = 20


@client_command("changes")
@click.argument("id", required=False)
@click.option("--workflow", metavar="NAME", help="Only those that are about this workflow.")
@click.option("--by", metavar="NAME", help="Only those of the bearer of this token; also signal and watch.")
@click.option("--limit", type=click.IntRange(1, 1000), default=USUAL, show_default=True, help="How many at most.")
def changes(session: CommandSession, *, id: str | None, workflow: str | None, by: str | None, limit: int) -> int:
    """List the changes of the configuration, the newest first. With ID: one of them, before and after."""
    with session.api() as api:
        if id is not None:
            found = api.request("GET", f"/changes/{quote(id, safe='')}").json()
            session.output.document(found)
            _tell(session, found)
            return 0
        only = {"workflow": workflow, "by": by, "limit": str(limit)}
        params = {name: value for name, value in only.items() if value is not None}
        listed = api.request("GET", "/changes", params=params).json()["changes"]
    session.output.document(listed)
    if not listed:
        session.output.say("Nothing was changed")
        return 0
    heading, *lines = in_columns([HEADINGS, *map(_line, listed)])
    session.output.say(heading, "bold")
    for change, line in zip(listed, lines, strict=True):
        session.output.say(line, "" if change["outcome"] == "applied" else "red")
    return 0


def _row(change: Mapping[str, Any]) -> tuple[str, ...]:
    named = [f"{each['workflow']} ({each['action']})" for each in change["workflows"]]
    more = len(named) - NAMED + change["more_workflows"]
    named = [*named[:NAMED], *([f"and {more} more"] if more > 0 else []), *change["reactors"][:NAMED]]
    return tuple(
        printable(str(cell))
        for cell in (change["id"], change["time"], change["by"], ", ".join(named), change["outcome"])
    )


def _line(change: Mapping[str, Any]) -> tuple[str, ...]:
    """For the list: the same, with who was sent away, or why it failed, as far as a line goes."""
    *cells, outcome = _row(change)
    message = printable(str(change["message"]).partition("\n")[0])
    if len(message) > LONGEST_MESSAGE:
        message = message[: LONGEST_MESSAGE - 1] + "…"
    return (*cells, f"{outcome}: {message}" if message else outcome)


def _tell(session: CommandSession, change: Mapping[str, Any]) -> None:
    id, time, by, workflows, outcome = _row(change)
    session.output.say(f"change {id}, {time}, by {by} ({change['via']}): {workflows}")
    session.output.say(printable(f"{outcome}: {change['message']}" if change["message"] else outcome))
    for title in ("before", "after"):
        session.output.say(f"{title}:", "bold")
        for line in str(change[title]).splitlines() or ["(nothing)"]:
            session.output.say(f"    {printable(line)}")
