"""`POST /workflows/{name}/steps/{step_id}/switch`: an operator chooses which of its sources a step sends."""

from quart import Response, request

from mmids_trio.http_api.answers import json_response
from mmids_trio.http_api.control import Workflows
from mmids_trio.http_api.operation import NAME, Body, Operation, Parameter, error, json_answer
from mmids_trio.http_api.routing import Routes, request_body, request_query
from mmids_trio.http_api.switching import JSON_CONTENT_TYPES, parse_switch
from mmids_trio.workflow.status import Switched

STEP_ID = Parameter("step_id", "path", {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}, "The id of a step.")
TO = Parameter("to", "query", {"type": "string", "minLength": 1}, "The source; else it is in the body.")

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
)


def add_switch_route(routes: Routes, workflows: Workflows) -> None:
    """Add what switches sources."""

    @routes.add(SWITCH_SOURCE)
    async def switch_source(name: str, step_id: str) -> Response:
        to = parse_switch(request_query(), request.headers.get("Content-Type"), await request_body())
        return json_response(200, workflows.switch(name, step_id, to))
