"""`delete`: stop workflows."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from attrs import frozen

from mmids_trio.cli.client.api import ApiClient, lost_races, missing, workflow_path
from mmids_trio.cli.client.command import CommandSession, client_command
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.tables import summary_of
from mmids_trio.errors import printable
from mmids_trio.workflow.plan_summary import clients, count


@client_command("delete")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Stop all workflows (except those of reactors).")
@click.option("--ignore-not-found", is_flag=True, help="A workflow that is not there is no error.")
@click.option("--yes", is_flag=True, help="Do not ask. (Without a terminal the command never asks.)")
def delete(session: CommandSession, *, names: tuple[str, ...], every: bool, ignore_not_found: bool, yes: bool) -> int:
    """Stop workflows, and return when nothing of them is left.

    Exit status: 0 stopped; 1 error, also if there is no such workflow: then none is stopped.
    """
    if bool(names) == every:
        raise click.UsageError("Give either NAME... or --all.")
    with session.api() as api:
        found = _all(api) if every else _named(api, names, ignore_not_found=ignore_not_found)
        for each in found:
            session.output.say(str(each), "red")
        if found and not yes and not session.output.ask("Stop it?" if len(found) == 1 else "Stop them?"):
            raise ClientError("not stopped; nothing was changed")
        _stop(api, found)
    gone = [each.name for each in found]
    documents = [{"name": name, "deleted": name in gone} for name in (gone if every else dict.fromkeys(names))]
    session.output.document(documents[0] if len(names) == 1 else {"workflows": documents})
    session.output.say("stopped" if found else "nothing to stop", "bold green" if found else "")
    return 0


@frozen
class _Found:
    """A workflow as it was when it was shown; `etag` is that of its definition."""

    name: str
    status: Mapping[str, Any]
    etag: str | None

    def __str__(self) -> str:
        summary = summary_of(self.name, self.status)
        cut = clients(summary["publishers"], summary["watchers"])
        return f"- workflow {printable(self.name)}, {count(summary['steps'], 'step')}: disconnects {cut}"


def _named(api: ApiClient, names: Sequence[str], *, ignore_not_found: bool) -> list[_Found]:
    """Those that are there, each once. Raises `ClientError` for the first that is not, unless that is fine."""
    found = []
    for name in dict.fromkeys(names):
        if (each := _look_at(api, name)) is not None:
            found.append(each)
        elif not ignore_not_found:
            raise missing(api, name)
    return found


def _all(api: ApiClient) -> list[_Found]:
    """All but those of reactors, which end with their leases."""
    found = [each for name in api.names() if (each := _look_at(api, name)) is not None]
    return [each for each in found if (each.status.get("owner") or {}).get("kind") != "reactor"]


def _look_at(api: ApiClient, name: str) -> _Found | None:
    status = api.workflow(name)
    return None if status is None else _Found(name, status, api.request("HEAD", workflow_path(name)).etag)


def _stop(api: ApiClient, found: Sequence[_Found]) -> None:
    """Stop each if it is still what was shown. Raises `ClientError`, which says what was stopped before."""
    stopped: list[str] = []
    for each in found:
        try:
            with lost_races():
                api.request("DELETE", workflow_path(each.name), headers={"If-Match": each.etag} if each.etag else {})
        except ClientError as error:
            if not stopped:
                raise
            before = ", ".join(f"'{printable(name)}'" for name in stopped)
            message = f"workflow '{printable(each.name)}': {error}\nstopped before that: {before}"
            raise ClientError(message, status=error.status) from None
        stopped.append(each.name)
