"""What the operations on `/workflows` take and answer, for the OpenAPI document."""

from mmids_trio.http_api.operation import (
    BAD_CONDITION,
    CONDITIONS,
    LOST_RACE,
    NAME,
    NOT_KEPT,
    NOT_MODIFIED,
    TRUE_OR_FALSE,
    WAIT,
    Body,
    Operation,
    Parameter,
    error,
    json_answer,
    text_answer,
)
from mmids_trio.http_api.put import WORKFLOW_CONTENT_TYPES
from mmids_trio.http_api.schemas import WorkflowName
from mmids_trio.workflow.status import PlanView, WorkflowStatus

ON_ERROR = Parameter(
    "on_error",
    "query",
    {"type": "string", "enum": ["rollback"]},
    "What fails leaves what ran before; needs `wait`.",
)
DRY_RUN = Parameter("dry_run", "query", TRUE_OR_FALSE, "Answer the plan, change nothing.")

WORKFLOW_BODY = Body(
    "One workflow node in the configuration language.",
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
    "How one workflow is. Its ETag tells definitions apart, not states.",
    {
        200: json_answer("The workflow.", WorkflowStatus, "ETag"),
        304: NOT_MODIFIED,
        400: BAD_CONDITION,
        404: text_answer("There is none of that name."),
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
        503: error("The server is being stopped."),
        507: NOT_KEPT,
        504: error("The update is still pending after `wait`; it goes on."),
    },
    (WAIT, ON_ERROR, DRY_RUN, *CONDITIONS),
    WORKFLOW_BODY,
)
DELETE_WORKFLOW = Operation(
    "DELETE",
    "/workflows/{name}",
    "deleteWorkflow",
    "Stop a workflow; the answer comes when nothing of it is left. Names of which none runs are fine.",
    {200: text_answer("Nothing of it is left."), 400: BAD_CONDITION, 412: LOST_RACE, 507: NOT_KEPT},
    (NAME, *CONDITIONS),
)
