"""`ban`: keep clients and streams away for a while, list who is kept away, and let somebody come back."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from mmids_trio.cli.client.api import ApiClient, Refused
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.tables import in_columns
from mmids_trio.cli.commands.kick import NOT_FOUND, send_away
from mmids_trio.errors import printable
from mmids_trio.on_air.bans import LONGEST_BAN

HEADINGS = ("ID", "KIND", "WHO", "UNTIL", "SECONDS LEFT")

USUAL_SECONDS = 3600


@client_command("ban")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--for",
    "seconds",
    type=click.IntRange(1, LONGEST_BAN),
    metavar="SECONDS",
    default=USUAL_SECONDS,
    show_default=True,
    help="For how long.",
)
@click.option("--lift", is_flag=True, help="Let them come back; ID is one of a ban.")
def ban(session: CommandSession, *, ids: tuple[str, ...], seconds: int, lift: bool) -> int:
    """Send clients and streams away, and keep them away: of a client its address, of a stream its key.

    ID is one of the command clients, or of the command streams. Without one: list who is banned.
    Exit status: 0 all are banned; 1 error, also if one of them is not there (any more): the others are banned.
    """
    if not ids and lift:
        raise click.UsageError("--lift needs the ID of a ban")
    if not ids:
        return _list(session)
    with session.api() as api:
        if lift:
            found = {name: "ban" if _lift(api, name) else None for name in dict.fromkeys(ids)}
        else:
            found = {name: send_away(api, name, {"ban": str(seconds)}) for name in dict.fromkeys(ids)}
    done = "is lifted" if lift else f"is sent away and banned for {seconds} s"
    for name, kind in found.items():
        if kind is not None:
            session.output.say(f"{kind} {printable(name)} {done}", "green")
    if missing := [printable(name) for name, kind in found.items() if kind is None]:
        raise ClientError(f"there is no {'ban' if lift else 'stream or client'} {', '.join(missing)}", status=NOT_FOUND)
    session.output.document([{"id": name, "kind": kind} for name, kind in found.items()])
    return 0


def _list(session: CommandSession) -> int:
    with session.api() as api:
        found = api.request("GET", "/bans").json()["bans"]
    session.output.document(found)
    if not found:
        session.output.say("Nobody is banned")
        return 0
    heading, *lines = in_columns([HEADINGS, *map(_row, found)])
    session.output.say(heading, "bold")
    for line in lines:
        session.output.say(line)
    return 0


def _row(ban: Mapping[str, Any]) -> tuple[str, ...]:
    who = ban["address"] or f"{ban['app']}/{ban['name']}"
    return tuple(printable(str(value)) for value in (ban["id"], ban["kind"], who, ban["until"], ban["seconds_left"]))


def _lift(api: ApiClient, name: str) -> bool:
    """Whether there was one."""
    try:
        api.request("DELETE", f"/bans/{quote(name, safe='')}")
    except Refused as error:
        if error.status != NOT_FOUND or error.is_unknown:
            raise
        return False
    return True
