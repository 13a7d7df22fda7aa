"""`/workflows`: what runs, how one workflow is started, changed and stopped, and which of its sources a step sends."""

from quart import Response, request

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import parse_workflow
from mmids_trio.http_api import access
from mmids_trio.http_api.answers import json_response, refuse, text_response
from mmids_trio.http_api.canonical import DefinitionTags
from mmids_trio.http_api.control import Changes, WorkflowChange, Workflows, wait_for
from mmids_trio.http_api.etags import check_change, check_reading, parse_conditions
from mmids_trio.http_api.operation import (
    BAD_CONDITION,
    COMPRESSED,
    CONDITIONS,
    IN_PLACE,
    LOST_RACE,
    NAME,
    NOT_KEPT,
    NOT_MODIFIED,
    SET_NAME,
    SHOW_KEYS,
    TRUE_OR_FALSE,
    WAIT,
    Body,
    Operation,
    QueryParameter,
    error,
    json_answer,
    text_answer,
)
from mmids_trio.http_api.options import (
    JSON_CONTENT_TYPES,
    WORKFLOW_CONTENT_TYPES,
    PutOptions,
    check_content_type,
    parse_options,
    parse_switch,
)
from mmids_trio.http_api.refusals import Conflict, NotHere
from mmids_trio.http_api.routing import REQUEST_FILE, Routes, request_body, request_query
from mmids_trio.http_api.schemas import WorkflowName
from mmids_trio.workflow.status import (
    Outcome,
    OutcomeKind,
    PlanView,
    Switched,
    WorkflowOwner,
    WorkflowStatus,
    of_set,
)

ON_ERROR = QueryParameter(
    "on_error",
    "query",
    {"type": "string", "enum": ["rollback"]},
    "What fails leaves what ran before; needs `wait`.",
)
DRY_RUN = QueryParameter("dry_run", "query", TRUE_OR_FALSE, "Answer the plan, change nothing.")
SET = QueryParameter(
    "set",
    "query",
    SET_NAME,
    "The set that the workflow shall belong to. Without it, it stays whose it is; a new one belongs to `default`.",
)

WORKFLOW_BODY = Body(
    "One workflow node in the configuration language. A node `values` before it says what its variables stand for.",
    WORKFLOW_CONTENT_TYPES,
    "workflow show {\n    rtmp_receive rtmp_app=live stream_key=show\n}\n",
)

LIST_WORKFLOWS = Operation(
    "GET",
    "/workflows",
    "listWorkflows",
    "The names of all workflows, in the order in which they were started.",
    {
        200: json_answer("The names.", list[WorkflowName], "ETag"),
        304: NOT_MODIFIED,
        400: BAD_CONDITION,
        412: LOST_RACE,
    },
    CONDITIONS,
)
GET_WORKFLOW = Operation(
    "GET",
    "/workflows/{name}",
    "getWorkflow",
    "How one workflow is. Its ETag tells definitions apart, not states. Who may not change it sees `***` for what lets "
    "anybody in in the URLs of its parameters.",
    {
        200: json_answer("The workflow.", WorkflowStatus, "ETag"),
        304: NOT_MODIFIED,
        400: BAD_CONDITION,
        404: error("There is none of that name."),
        412: LOST_RACE,
    },
    (NAME, *CONDITIONS),
)
PUT_WORKFLOW = Operation(
    "PUT",
    "/workflows",
    "putWorkflow",
    "Start or update the one workflow in the body; conditions are about the workflow of that name.",
    {
        200: json_answer("The plan: accepted, with `wait` carried out, with `dry_run` only planned.", PlanView, "ETag"),
        400: error("The body is no single good workflow, or an option makes no sense; nothing was changed."),
        408: error("The body did not arrive in time."),
        409: error("The awaited update failed, was rolled back or superseded, or the workflow was stopped."),
        412: LOST_RACE,
        413: error("The body is too large."),
        415: COMPRESSED,
        503: error("The server is being stopped."),
        507: NOT_KEPT,
        504: error("The update is still pending after `wait`; it goes on."),
    },
    (WAIT, ON_ERROR, DRY_RUN, SHOW_KEYS, IN_PLACE, SET, *CONDITIONS),
    WORKFLOW_BODY,
    scope="change",
)
DELETE_WORKFLOW = Operation(
    "DELETE",
    "/workflows/{name}",
    "deleteWorkflow",
    "Stop a workflow; the answer comes when nothing of it is left. Names of which none runs are fine.",
    {200: text_answer("Nothing of it is left."), 400: BAD_CONDITION, 412: LOST_RACE, 507: NOT_KEPT},
    (NAME, *CONDITIONS),
    scope="change",
)


STEP_ID = QueryParameter(
    "step_id", "path", {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}, "The id of a step."
)
TO = QueryParameter("to", "query", {"type": "string", "minLength": 1}, "The source; else it is in the body.")

SWITCH_SOURCE = Operation(
    "POST",
    "/workflows/{name}/steps/{step_id}/switch",
    "switchSource",
    "Have a step with several sources send another one, from its next key frame on.",
    {
        200: json_answer("What is sent now, and what from its next key frame on (null: no other).", Switched),
        400: error("Not exactly one name of a source."),
        404: error("No such workflow, or no such step at work in it."),
        408: error("The body did not arrive in time."),
        409: error("The step has no sources to switch between, or the wanted one sends nothing."),
        413: error("The body is too large."),
        415: COMPRESSED,
    },
    (NAME, STEP_ID, TO),
    Body(
        "The name of the source, where it is not in the query.",
        JSON_CONTENT_TYPES,
        {"to": "backup"},
        schema={
            "type": "object",
            "properties": {"to": {"type": "string", "minLength": 1}},
            "required": ["to"],
            "additionalProperties": False,
        },
        required=False,
    ),
    scope="change",
)


def add_switch_route(routes: Routes, workflows: Workflows) -> None:
    """Add what switches sources."""

    @routes.add(SWITCH_SOURCE)
    async def switch_source(name: str, step_id: str) -> Response:
        to = parse_switch(request_query(), request.headers.get("Content-Type"), await request_body())
        return json_response(200, workflows.switch(name, step_id, to))


def add_workflow_routes(routes: Routes, workflows: Workflows, changes: Changes, tags: DefinitionTags) -> None:
    """Add what looks at workflows and changes them."""
    _add_reading(routes, workflows, tags)

    @routes.add(PUT_WORKFLOW)
    async def put_workflow() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_options(request_query())
        conditions = parse_conditions(request.headers)
        body = await request_body()
        asked = parse_workflow(decode(body, REQUEST_FILE), REQUEST_FILE, takes_values=True)
        await workflows.prepare([asked])
        definition = workflows.validate(asked)
        access.check_change(definition.name)
        # From here to the acceptance nobody else has a turn.
        check_change(conditions, tags.tag(definition.name), f"workflow '{definition.name}'")
        owner = of_set(options.set)
        _check_owner(definition.name, workflows.owner(definition.name), options)
        if options.dry_run:
            plan = workflows.plan(definition, owner=owner, in_place=options.in_place, show_keys=options.show_keys)
            return json_response(200, plan)
        change = _by_caller(changes).apply(
            definition, rollback=options.rollback, owner=owner, in_place=options.in_place
        )
        return await _answer(change, options, tags.tag(definition.name))

    @routes.add(DELETE_WORKFLOW)
    async def delete_workflow(name: str) -> Response:
        check_change(parse_conditions(request.headers), tags.tag(name), f"workflow '{name}'")
        await _by_caller(changes).stop(name)  # unlists it before its first checkpoint, so nobody comes between
        return text_response(200, "")


def _add_reading(routes: Routes, workflows: Workflows, tags: DefinitionTags) -> None:
    @routes.add(LIST_WORKFLOWS)
    async def list_workflows() -> Response:
        names = workflows.names()
        etag = tags.list_tag(names)
        check_reading(parse_conditions(request.headers), etag, "the list of workflows")
        return json_response(200, [_named(name, workflows.owner(name)) for name in names], etag=etag)

    @routes.add(GET_WORKFLOW)
    async def get_workflow(name: str) -> Response:
        conditions = parse_conditions(request.headers)
        status, etag = workflows.status(name), tags.tag(name)
        if status is None:
            raise NotHere("Workflow not found")
        if etag is not None:
            check_reading(conditions, etag, f"workflow '{name}'")
        if not access.current_caller().may_change(name):
            status = status.without_access()
        return json_response(200, status, etag=etag)


def _by_caller(changes: Changes) -> Changes:
    return changes.by(access.current_caller().name)


def _named(name: str, owner: WorkflowOwner | None) -> WorkflowName:
    return WorkflowName(name, None if owner is None else owner.other_set)


def _check_owner(name: str, owner: WorkflowOwner | None, options: PutOptions) -> None:
    """Whoever names a set means no other owner's workflow."""
    if options.set is not None and owner is not None and not owner.is_same(of_set(options.set)):
        raise Conflict(f"workflow '{name}' belongs to the {owner}, not to the set '{options.set}'; nothing was changed")


async def _answer(change: WorkflowChange, options: PutOptions, etag: str | None) -> Response:
    if options.wait is None:
        return json_response(200, change.plan, etag=etag)
    return _outcome(change, await wait_for(change, options.wait), options.wait, etag)


def _outcome(change: WorkflowChange, outcome: Outcome | None, waited: float, etag: str | None) -> Response:
    if outcome is None:
        message = f"workflow {change.plan.workflow!r} is still pending after {waited:g} s; the update goes on"
        return refuse(504, message)
    if outcome.kind is OutcomeKind.APPLIED:
        return json_response(200, change.plan, etag=etag)
    return refuse(409, outcome.message)
