"""`cluster`: the nodes of the cluster that the server is in."""

from collections.abc import Mapping
from typing import Any

from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.tables import in_columns
from mmids_trio.errors import printable

HEADINGS = ("NODE", "ADDRESS", "STATE", "REVISION", "STREAMS", "PUBLISHERS", "WATCHERS", "INTERRUPTED", "INCARNATION")


@client_command("cluster")
def cluster(session: CommandSession) -> int:
    """List the nodes of the server's cluster, and what is wrong with them.

    Exit status: 0 all is well; 1 there are warnings, or error, also if the server is in no cluster.
    """
    with session.api() as api:
        found = api.request("GET", "/cluster").json()
    if not isinstance(found, Mapping) or not isinstance(found.get("nodes"), list):
        raise ClientError("the answer is not a cluster; is this the HTTP API of an mmids_trio?")
    session.output.document(found)
    registry = f"registry {found['registry']}, revision {found['revision']}, seen from {found['node']}"
    session.output.say(printable(f"cluster {found['name']}: {registry}"))
    heading, *lines = in_columns([HEADINGS, *map(_row, found["nodes"])])
    session.output.say(heading, "bold")
    for node, line in zip(found["nodes"], lines, strict=True):
        session.output.say(line, "yellow" if node["draining"] else "")
    for node in found["nodes"]:
        if node["waiting"]:
            session.output.say(_waiting(node))
    for warning in found["warnings"]:
        session.output.warn(printable(str(warning)))
    return 1 if found["warnings"] else 0


def _waiting(node: Mapping[str, Any]) -> str:
    """Which keys of a node wait for their publisher; it names some."""
    named = [f"{key['app']}/{key['name']}" for key in node["waiting"]]
    more = node["interrupted"] - len(named)
    keys = ", ".join([*named, *([f"{more} more"] if more else [])])
    return printable(f"waiting at {node['node']} for a publisher: {keys}")


def _row(node: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (node[name] for name in ("streams", "publishers", "watchers", "interrupted"))
    cells = (
        node["node"],
        node["address"],
        "draining" if node["draining"] else "serving",
        node["revision"],
        *("?" if count is None else count for count in counts),
        node["incarnation"],
    )
    return tuple(printable(str(cell)) for cell in cells)
