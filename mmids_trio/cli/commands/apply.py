"""`apply`: make the server match the files, in one transaction or, with `--on-error error`, workflow by workflow.

The latter is the way for a large installation of which one bad workflow must not hold up the rest: one that fails stays
in error, and each change is made only if the workflow is still what the plan saw.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from attrs import frozen

from mmids_trio.cli.client.api import (
    LOST_RACE,
    ApiClient,
    ConfigPart,
    Refused,
    Unreachable,
    given,
    lost_races,
    set_params,
    workflow_path,
)
from mmids_trio.cli.client.command import FAILED, CommandSession, Work, client_command, set_option, take_over_option
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.files import MergedFiles, no_env_option, read_all
from mmids_trio.cli.client.fleet import apply_fleet, fleet_option, refuse_others
from mmids_trio.cli.client.plans import ShownPlan, read_plan, too_many
from mmids_trio.cli.commands.plan import in_place_option, make_plan, show_keys_option, show_plan, with_option
from mmids_trio.config.writer import write_complete
from mmids_trio.errors import printable
from mmids_trio.workflow.plan_summary import count

CONFLICT, PENDING = 409, 504


def apply_one_by_one(
    session: CommandSession,
    api: ApiClient,
    merged: MergedFiles,
    plan: ShownPlan,
    part: ConfigPart,
    *,
    wait: float,
    allowed: int | None,
) -> int:
    """Carry the plan out; the exit status. Raises `ClientError` for what concerns all of it."""
    _check_reactors(plan)
    if part.take_over:
        raise ClientError("--on-error error takes nothing over; use --on-error rollback")
    tags = _tags(api, plan)
    fresh = make_plan(api, merged, part, if_match=plan.etag)  # so the tags are those of the plan
    if refusal := too_many(fresh, allowed):
        raise ClientError(refusal)
    results: list[dict[str, Any]] = []
    what = f"applying {count(len(plan.changing) + len(plan.deleted), 'change')} to {api.url}, one by one"
    with session.output.working(what, len(plan.changing) + len(plan.deleted)) as work:
        _put_reactors(api, merged, plan, part, wait)
        for name, error in _changes(api, merged, plan, tags, part=part, wait=wait):
            results.append({"workflow": name, "error": error})
            _tell(session, work, name, error)
    failed = sum(result["error"] is not None for result in results)
    session.output.document({"applied": not failed, "changed": True, "workflows": results, "plan": plan.document})
    if failed:
        session.output.warn(f"{failed} of {count(len(results), 'workflow')} failed")
        return FAILED
    session.output.say(f"applied {count(len(results), 'change')}", "bold green")
    return 0


def _check_reactors(plan: ShownPlan) -> None:
    gone = [reactor.name for reactor in plan.reactors if reactor.action == "stop"]
    if gone:
        raise ClientError(f"--on-error error cannot remove reactors ({', '.join(gone)}); use --on-error rollback")


def _tags(api: ApiClient, plan: ShownPlan) -> Mapping[str, str | None]:
    """The ETags of what changes and is there."""
    names = [view.workflow for view in plan.changing if not view.created] + list(plan.deleted)
    return {name: api.request("HEAD", workflow_path(name)).etag for name in names}


def _put_reactors(api: ApiClient, merged: MergedFiles, plan: ShownPlan, part: ConfigPart, wait: float) -> None:
    """First those that are new or changed, as workflows ask them."""
    if any(reactor.action != "keep" for reactor in plan.reactors):
        text = write_complete(merged.reactors)
        headers = {"If-Match": plan.etag} if plan.etag else {}
        params = {"wait": f"{wait:g}", **set_params(part.set)}
        api.request("PUT", "/config", params=params, body=text, headers=headers, wait=wait)


def _changes(
    api: ApiClient,
    merged: MergedFiles,
    plan: ShownPlan,
    tags: Mapping[str, str | None],
    *,
    part: ConfigPart,
    wait: float,
) -> Iterator[tuple[str, str | None]]:
    """Make each change; names, with what went wrong. What ends comes first: others may need what it has."""
    for name in plan.deleted:
        with _noted() as errors:
            api.request("DELETE", workflow_path(name), headers=_condition(tags[name]), wait=wait)
        yield name, "\n".join(errors) or None
    params = {"wait": f"{wait:g}", **set_params(part.set), **given(in_place=part.in_place)}
    texts = {workflow.name: write_complete([workflow]) for workflow in merged.workflows}
    for view in plan.changing:
        headers = {"If-None-Match": "*"} if view.created else _condition(tags[view.workflow])
        with _noted() as errors:
            body = texts[view.workflow]
            api.request("PUT", "/workflows", params=params, body=body, headers=headers, wait=wait)
        yield view.workflow, "\n".join(errors) or None


def _condition(tag: str | None) -> Mapping[str, str]:
    return {"If-Match": tag} if tag else {}


@contextmanager
def _noted() -> Iterator[list[str]]:
    """Note what concerns one workflow; what concerns all passes."""
    errors: list[str] = []
    try:
        yield errors
    except Unreachable:
        raise
    except Refused as error:
        if error.status == LOST_RACE:
            errors.append("somebody else has changed it since this plan was made, so it stays as it is")
        elif error.status in (CONFLICT, PENDING):
            errors.append(str(error))
        else:
            raise


def _tell(session: CommandSession, work: Work, name: str, error: str | None) -> None:
    work.step()
    if error is None:
        session.output.say(f"applied {printable(name)}", "green")
    else:
        session.output.warn(f"failed {printable(name)}: {error}")


LONGEST_WAIT_SECONDS = 300
"""What a server accepts as `wait`."""

MOST_CLIENTS = 999_999
"""What a server accepts as `max_disconnects`."""

APPLIED = 0


@frozen
class Wishes:
    """The options of one `apply`; `wait` is in seconds."""

    wait: float
    prune: bool
    of_set: str | None
    take_over: bool
    allow_empty: bool
    yes: bool
    max_disconnects: int | None
    if_match: str | None
    on_error: str
    show_keys: bool
    in_place: bool | None

    @property
    def part(self) -> ConfigPart:
        """Which part of the configuration it is about."""
        return ConfigPart(self.of_set, self.prune, self.take_over, self.in_place)


@client_command("apply")
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True)
@click.option(
    "--wait",
    type=click.FloatRange(0, LONGEST_WAIT_SECONDS),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait. A change that is still pending then continues, and the exit status is 1.",
)
@click.option("--prune", is_flag=True, help="Stop what else the set has, and the files do not name.")
@set_option
@take_over_option
@click.option(
    "--allow-empty",
    is_flag=True,
    help="With --prune, allow files that define no workflow to stop all of the set. A file of comments alone may.",
)
@click.option(
    "--on-error",
    type=click.Choice(["rollback", "error"]),
    default="rollback",
    show_default=True,
    help="rollback: change everything or nothing. error: change workflow by workflow; one that fails stays in error.",
)
@click.option("--yes", is_flag=True, help="Do not ask. (Without a terminal the command never asks.)")
@click.option(
    "--max-disconnects",
    type=click.IntRange(0, MOST_CLIENTS),
    metavar="N",
    help="Change nothing if the change would disconnect more clients than N. Default: no limit.",
)
@click.option("--if-match", metavar="ETAG", help="Change nothing unless the server has the `etag` of `plan --json`.")
@show_keys_option
@in_place_option
@fleet_option
@no_env_option
def apply(session: CommandSession, *, paths: tuple[str, ...], no_env: bool, fleet: bool, **options: Any) -> int:
    """Make the server match the files: show the plan, ask, then apply all of it or nothing.

    A DIR stands for its *.mmids files, in the order of their names; - is standard input. If somebody else has changed
    the server since the plan, nothing changes.
    Exit status: 0 applied, also if nothing had to change; 1 error or refused.
    """
    merged = read_all(paths, no_env=no_env)
    for note in merged.notes:
        session.output.warn(note)
    wishes = Wishes(**options)
    if fleet:
        return _apply_to_fleet(session, merged, wishes)
    with session.api() as api:
        with lost_races():
            tag = _quoted(wishes.if_match)
            plan = make_plan(api, merged, wishes.part, show_keys=wishes.show_keys, if_match=tag)
        show_plan(session, plan)
        if refusal := too_many(plan, wishes.max_disconnects):
            raise ClientError(refusal)
        if not plan.changed:
            session.output.document({"applied": True, "changed": False, "etag": plan.etag, "plan": plan.document})
            return APPLIED
        if not wishes.yes and not session.output.ask("Apply this?"):
            raise ClientError("not applied; nothing was changed")
        with lost_races():
            return _carry_out(session, api, merged, plan, wishes)


def _apply_to_fleet(session: CommandSession, merged: MergedFiles, wishes: Wishes) -> int:
    one_by_one = wishes.on_error == "error"
    refuse_others(set=wishes.of_set, prune=wishes.prune, show_keys=wishes.show_keys, on_error=one_by_one)
    with lost_races():
        return apply_fleet(
            session,
            merged,
            take_over=wishes.take_over,
            allow_empty=wishes.allow_empty,
            in_place=wishes.in_place,
            wait=wishes.wait,
            yes=wishes.yes,
            max_disconnects=wishes.max_disconnects,
            if_match=_quoted(wishes.if_match),
        )


def _quoted(tag: str | None) -> str | None:
    """An entity tag in its quotes, which shells like to take away."""
    return f'"{tag}"' if tag and '"' not in tag else tag


def _carry_out(session: CommandSession, api: ApiClient, merged: MergedFiles, plan: ShownPlan, wishes: Wishes) -> int:
    if wishes.on_error == "error":
        return apply_one_by_one(
            session, api, merged, plan, wishes.part, wait=wishes.wait, allowed=wishes.max_disconnects
        )
    began = time.monotonic()
    with session.output.working(f"applying to {api.url}, for {wishes.wait:g} s at most"):
        try:
            answer = _put(api, merged, plan, wishes)
        except Refused as error:
            raise _told(error, merged) from None
    done = read_plan(answer.json(), answer.etag)
    session.output.say(f"applied in {time.monotonic() - began:.1f} s", "bold green")
    session.output.document({"applied": True, "changed": done.changed, "etag": done.etag, "plan": done.document})
    return APPLIED


def _put(api: ApiClient, merged: MergedFiles, plan: ShownPlan, wishes: Wishes) -> Any:
    params = {"wait": f"{wishes.wait:g}", "on_error": "rollback", **wishes.part.params}
    if wishes.allow_empty:
        params["allow_empty"] = "true"
    if wishes.max_disconnects is not None:
        params["max_disconnects"] = str(wishes.max_disconnects)
    headers = {"If-Match": plan.etag} if plan.etag else {}
    return api.request("PUT", "/config", params=params, body=merged.text, headers=headers, wait=wishes.wait)


def _told(error: Refused, merged: MergedFiles) -> Refused:
    """What a refusal means for what runs."""
    message = merged.localised(str(error))
    match error.status:
        case 409 if error.refused_by == "allow_empty":
            message = f"not applied: {message.replace('allow it', '--allow-empty allows it')}"
        case 409 if error.refused_by == "take_over":
            message = f"not applied: {with_option(message)}"
        case 409 if "nothing was changed" not in message:
            message = f"not applied: {message}\nthe server is as it was before"
        case 504:
            message += "; run `wait NAME` or `plan` to see how it ends"
        case 507:
            message = f"applied, but the server forgets it at a restart: {message}"
    problems = merged.localised_problems(error.problems)
    return Refused(message, status=error.status or FAILED, etag=error.etag, problems=problems)
