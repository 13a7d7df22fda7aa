"""`apply --on-error error`: workflow by workflow, and one that fails stays in error, for the others to go on.

The way for a large installation of which one bad workflow must not hold up the rest.  Each change is made only if the
workflow is still what the plan saw.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmids_trio.cli.client.api import Api, Refused, Unreachable, workflow_path
from mmids_trio.cli.client.command import FAILED, Session
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.merging import Merged
from mmids_trio.cli.client.output import Work
from mmids_trio.cli.client.plans import Plan, count, too_many
from mmids_trio.cli.client.races import LOST_RACE
from mmids_trio.cli.client.shown_plan import make_plan
from mmids_trio.config.writer import write_reactor, write_workflow
from mmids_trio.errors import printable

CONFLICT, PENDING = 409, 504


def apply_one_by_one(
    session: Session, api: Api, merged: Merged, plan: Plan, *, wait: float, prune: bool, allowed: int | None
) -> int:
    """Carry the plan out; the exit status. Raises `ClientError` for what concerns all of it."""
    _check_reactors(plan)
    tags = _tags(api, plan)
    fresh = make_plan(api, merged, prune=prune, if_match=plan.etag)  # so the tags are those of the plan
    if refusal := too_many(fresh, allowed):
        raise ClientError(refusal)
    results: list[dict[str, Any]] = []
    what = f"applying {count(len(plan.changing) + len(plan.deleted), 'change')} to {api.url}, one by one"
    with session.output.working(what, len(plan.changing) + len(plan.deleted)) as work:
        _put_reactors(api, merged, plan, wait)
        for name, error in _changes(api, merged, plan, tags, wait):
            results.append({"workflow": name, "error": error})
            _tell(session, work, name, error)
    failed = sum(result["error"] is not None for result in results)
    session.output.document({"applied": not failed, "changed": True, "workflows": results, "plan": plan.document})
    if failed:
        session.output.warn(f"{failed} of {count(len(results), 'workflow')} failed")
        return FAILED
    session.output.say(f"applied {count(len(results), 'change')}", "bold green")
    return 0


def _check_reactors(plan: Plan) -> None:
    gone = [reactor.name for reactor in plan.reactors if reactor.action == "stop"]
    if gone:
        raise ClientError(f"--on-error error cannot remove reactors ({', '.join(gone)}); use --on-error rollback")


def _tags(api: Api, plan: Plan) -> Mapping[str, str | None]:
    """The ETags of what changes and is there."""
    names = [view.workflow for view in plan.changing if not view.created] + list(plan.deleted)
    return {name: api.request("HEAD", workflow_path(name)).etag for name in names}


def _put_reactors(api: Api, merged: Merged, plan: Plan, wait: float) -> None:
    """First those that are new or changed, as workflows ask them."""
    if any(reactor.action != "keep" for reactor in plan.reactors):
        text = "\n".join(write_reactor(reactor) for reactor in merged.reactors)
        headers = {"If-Match": plan.etag} if plan.etag else {}
        api.request("PUT", "/config", params={"wait": f"{wait:g}"}, body=text, headers=headers, wait=wait)


def _changes(
    api: Api, merged: Merged, plan: Plan, tags: Mapping[str, str | None], wait: float
) -> Iterator[tuple[str, str | None]]:
    """Make each change; names, with what went wrong. What ends comes first: others may need what it has."""
    for name in plan.deleted:
        with _noted() as errors:
            api.request("DELETE", workflow_path(name), headers=_condition(tags[name]), wait=wait)
        yield name, "\n".join(errors) or None
    texts = {workflow.name: write_workflow(workflow) for workflow in merged.workflows}
    for view in plan.changing:
        headers = {"If-None-Match": "*"} if view.created else _condition(tags[view.workflow])
        with _noted() as errors:
            body = texts[view.workflow]
            api.request("PUT", "/workflows", params={"wait": f"{wait:g}"}, body=body, headers=headers, wait=wait)
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


def _tell(session: Session, work: Work, name: str, error: str | None) -> None:
    work.step()
    if error is None:
        session.output.say(f"applied {printable(name)}", "green")
    else:
        session.output.warn(f"failed {printable(name)}: {error}")
