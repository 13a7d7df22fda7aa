"""`/workflows`: what runs, and how one workflow is started, changed and stopped."""

from quart import Response, request

from mmids_trio.config.parser import decode, parse_workflow
from mmids_trio.http_api.answers import json_response, refuse, text_response
from mmids_trio.http_api.control import Change, Changes, Workflows
from mmids_trio.http_api.definition_tags import DefinitionTags
from mmids_trio.http_api.etags import check_change, check_reading, parse_conditions
from mmids_trio.http_api.put import PutOptions, check_content_type, parse_options
from mmids_trio.http_api.refusals import NotHere
from mmids_trio.http_api.routes.workflow_operations import DELETE_WORKFLOW, GET_WORKFLOW, LIST_WORKFLOWS, PUT_WORKFLOW
from mmids_trio.http_api.routing import REQUEST_FILE, Routes, check_name, request_body, request_query
from mmids_trio.http_api.schemas import WorkflowName
from mmids_trio.http_api.waiting import wait_for
from mmids_trio.workflow.status import Outcome, OutcomeKind


def add_workflow_routes(routes: Routes, workflows: Workflows, changes: Changes, tags: DefinitionTags) -> None:
    """Add what looks at workflows and changes them."""
    _add_reading(routes, workflows, tags)

    @routes.add(PUT_WORKFLOW)
    async def put_workflow() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_options(request_query())
        conditions = parse_conditions(request.headers)
        body = await request_body()
        definition = workflows.validate(parse_workflow(decode(body, REQUEST_FILE), REQUEST_FILE))
        check_name(definition.name)
        # From here to the acceptance nobody else has a turn.
        check_change(conditions, tags.tag(definition.name), f"workflow '{definition.name}'")
        if options.dry_run:
            return json_response(200, workflows.plan(definition))
        change = changes.apply(definition, rollback=options.rollback)
        return await _answer(change, options, tags.tag(definition.name))

    @routes.add(DELETE_WORKFLOW)
    async def delete_workflow(name: str) -> Response:
        check_change(parse_conditions(request.headers), tags.tag(name), f"workflow '{name}'")
        await changes.stop(name)  # unlists it before its first checkpoint, so nobody comes between
        return text_response(200, "")


def _add_reading(routes: Routes, workflows: Workflows, tags: DefinitionTags) -> None:
    @routes.add(LIST_WORKFLOWS)
    async def list_workflows() -> Response:
        names = workflows.names()
        etag = tags.list_tag(names)
        check_reading(parse_conditions(request.headers), etag, "the list of workflows")
        return json_response(200, [WorkflowName(name) for name in names], etag=etag)

    @routes.add(GET_WORKFLOW)
    async def get_workflow(name: str) -> Response:
        conditions = parse_conditions(request.headers)
        status, etag = workflows.status(name), tags.tag(name)
        if status is None:
            raise NotHere("Workflow not found")
        if etag is not None:
            check_reading(conditions, etag, f"workflow '{name}'")
        return json_response(200, status, etag=etag)


async def _answer(change: Change, options: PutOptions, etag: str | None) -> Response:
    if options.wait is None:
        return json_response(200, change.plan, etag=etag)
    return _outcome(change, await wait_for(change, options.wait), options.wait, etag)


def _outcome(change: Change, outcome: Outcome | None, waited: float, etag: str | None) -> Response:
    if outcome is None:
        message = f"workflow {change.plan.workflow!r} is still pending after {waited:g} s; the update goes on"
        return refuse(504, message)
    if outcome.kind is OutcomeKind.APPLIED:
        return json_response(200, change.plan, etag=etag)
    return refuse(409, outcome.message)
