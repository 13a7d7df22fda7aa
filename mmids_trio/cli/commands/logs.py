"""`logs`: the newest lines of the server's log."""

import json

import click

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.errors import printable

FIRST = ("timestamp", "level", "event")
"""Of a line, what stands in front."""


@client_command("logs")
@click.option("--workflow", metavar="NAME", help="Only lines that are about this workflow.")
@click.option("--level", type=click.Choice(["debug", "info", "warning", "error"]), help="At the least. Default: info.")
@click.option("--since", metavar="TIME", help="Only lines of this time on, as 2026-01-31T02:13:00Z.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many at most.")
def logs(session: CommandSession, *, workflow: str | None, level: str | None, since: str | None, limit: int) -> int:
    """Print the newest lines of the server's log, the oldest of them first. Takes a token with the scope admin."""
    only = {"workflow": workflow, "level": level, "since": since, "limit": str(limit)}
    with session.api() as api:
        found = api.request(
            "GET", "/logs", params={name: value for name, value in only.items() if value is not None}
        ).json()["lines"]
    session.output.document(found)
    for line in found:
        first = " ".join(str(line.get(name, "")) for name in FIRST)
        rest = " ".join(
            f"{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in sorted(line.items())
            if name not in FIRST and value is not None
        )
        style = {"error": "red", "critical": "red", "warning": "yellow"}.get(str(line.get("level")), "")
        session.output.say(printable(f"{first}  {rest}".replace("\n", "\\n")), style)
    return 0
