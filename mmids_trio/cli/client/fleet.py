"""Changes of all nodes of a cluster, as `plan --fleet` and `apply --fleet` ask for them and show them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from mmids_trio.cli.client.api import ApiClient, Method, Refused, given
from mmids_trio.cli.client.command import FAILED, CommandSession
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.files import MergedFiles
from mmids_trio.cli.client.plans import CHANGES, PlanLine
from mmids_trio.errors import printable
from mmids_trio.workflow.plan_summary import clients, count

PATH = "/cluster/config"

fleet_option = click.option(
    "--fleet",
    is_flag=True,
    help="At all nodes of the server's cluster, or at none: the files are all of the set `fleet` of each.",
)


def refuse_others(**options: object) -> None:
    """Raises `UsageError` for options that make no sense for a fleet."""
    for name, value in options.items():
        if value:
            raise click.UsageError(f"--fleet and --{name.replace('_', '-')} do not go together.")


def plan_fleet(session: CommandSession, merged: MergedFiles, params: Mapping[str, str]) -> int:
    """Show what would happen at each node; the exit status of `plan`."""
    with session.api() as api:
        answer, etag = asked_plan(api, merged, params)
    show(session, answer)
    session.output.document({**answer, "etag": etag})
    return CHANGES if answer["changed"] else 0


def apply_fleet(
    session: CommandSession,
    merged: MergedFiles,
    *,
    take_over: bool,
    allow_empty: bool,
    in_place: bool | None,
    wait: float,
    yes: bool,
    max_disconnects: int | None,
    if_match: str | None,
) -> int:
    """Show the plan, ask, and have all nodes change; the exit status. Raises `ClientError`."""
    common = given(take_over=take_over or None, allow_empty=allow_empty or None, in_place=in_place)
    with session.api() as api:
        planned, etag = asked_plan(api, merged, common, if_match)
        show(session, planned)
        cut = planned["publishers"] + planned["watchers"]
        if max_disconnects is not None and cut > max_disconnects:
            raise ClientError(
                f"refused: this would disconnect {clients(planned['publishers'], planned['watchers'])},"
                f" and --max-disconnects allows {max_disconnects}; nothing was changed"
            )
        if not yes and not session.output.ask(f"Apply this to {count(len(planned['nodes']), 'node')}?"):
            raise ClientError("not applied; nothing was changed")
        params = {**common, "wait": f"{wait:g}"}
        if max_disconnects is not None:
            params["max_disconnects"] = str(max_disconnects)
        with session.output.working(f"applying to the fleet by {api.url}, for {wait:g} s at most"):
            done, etag = _asked(api, "PUT", PATH, merged, params=params, tag=etag, wait=wait)
    session.output.say(f"applied at {count(len(done['nodes']), 'node')} as revision {done['revision']}", "bold green")
    session.output.document({"applied": True, **done, "etag": etag})
    return 0


def asked_plan(
    api: ApiClient, merged: MergedFiles, params: Mapping[str, str], if_match: str | None = None
) -> tuple[Mapping[str, Any], str | None]:
    """What every node says that it would do. Raises `ClientError`, with each node that cannot."""
    return _asked(api, "POST", f"{PATH}/plan", merged, params=params, tag=if_match)


VOTE_SECONDS = 20.0
"""What nodes may take to answer, a bit more."""


def _asked(
    api: ApiClient,
    method: Method,
    path: str,
    merged: MergedFiles,
    *,
    params: Mapping[str, str],
    tag: str | None,
    wait: float = 0,
) -> tuple[Mapping[str, Any], str | None]:
    headers = {} if tag is None else {"If-Match": tag}
    try:
        answer = api.request(method, path, params=params, body=merged.text, headers=headers, wait=wait + VOTE_SECONDS)
    except Refused as error:
        message = "\n".join([str(error), *_reasons(merged, error.nodes)])
        raise Refused(message, status=error.status or FAILED, etag=error.etag) from None
    found = answer.json()
    if not isinstance(found, Mapping) or not isinstance(found.get("nodes"), list):
        raise ClientError("the answer is not about a fleet; is this the HTTP API of an mmids_trio?")
    return found, answer.etag


def _reasons(merged: MergedFiles, nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each reason of each node."""
    for node in nodes:
        name = printable(str(node.get("node")))
        if node.get("stage") is None:
            yield f"{name}: did not answer"
        for reason in node.get("reasons", ()):
            yield f"{name}: {printable(merged.place_in_files(str(reason)))}"


def show(session: CommandSession, answer: Mapping[str, Any]) -> None:
    """A line for each node, and what it cuts; then the sum."""
    lines = [_line(node) for node in answer["nodes"]]
    cut = clients(answer["publishers"], answer["watchers"])
    end = (
        f"{len(lines)} nodes; this disconnects {cut}" if answer["publishers"] + answer["watchers"] else "nobody is cut"
    )
    session.output.show([*lines, PlanLine(end, "bold")])


def _line(node: Mapping[str, Any]) -> PlanLine:
    plan = node["plan"]
    mark, style = ("~", "yellow") if plan["is_changed"] else ("=", "dim")
    return PlanLine(f"{mark} node {printable(str(node['node']))}: {printable(str(plan['summary']))}", style)
