"""`kick`: send clients away, and end streams."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

import click

from mmids_trio.cli.client.api import ApiClient, Refused
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.errors import printable

NOT_FOUND = 404

NOTHING: Mapping[str, str] = MappingProxyType({})
"""Of parameters."""


@client_command("kick")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def kick(session: CommandSession, *, ids: tuple[str, ...]) -> int:
    """Disconnect clients, and end streams with who publishes them. They may come back; see the command ban.

    ID is one of the command clients, or of the command streams.
    Exit status: 0 all are sent away; 1 error, also if one of them is not there (any more): the others are sent away.
    """
    with session.api() as api:
        kinds = {name: send_away(api, name) for name in dict.fromkeys(ids)}
    for name, kind in kinds.items():
        if kind is not None:
            session.output.say(f"{kind} {printable(name)} is sent away", "green")
    if missing := [printable(name) for name, kind in kinds.items() if kind is None]:
        raise ClientError(f"there is no stream or client {', '.join(missing)}", status=NOT_FOUND)
    session.output.document([{"id": name, "kind": kind} for name, kind in kinds.items()])
    return 0


def send_away(api: ApiClient, name: str, params: Mapping[str, str] = NOTHING) -> str | None:
    """What it was; `None` where there is none of that id."""
    for kind in ("client", "stream"):
        try:
            api.request("DELETE", f"/{kind}s/{quote(name, safe='')}", params=params, expected=(200, 201))
        except Refused as error:
            if error.status != NOT_FOUND or error.is_unknown:
                raise
        else:
            return kind
    return None
