"""What the operations on `/config` take and answer, for the OpenAPI document."""

from mmids_trio.http_api.operation import (
    BAD_CONDITION,
    CONDITIONS,
    LOST_RACE,
    NOT_KEPT,
    NOT_MODIFIED,
    TRUE_OR_FALSE,
    WAIT,
    Answer,
    Body,
    Operation,
    Parameter,
    error,
    json_answer,
    text_answer,
)
from mmids_trio.http_api.put import LARGEST_NUMBER, WORKFLOW_CONTENT_TYPES
from mmids_trio.http_api.schemas import ConfigPlan, ReloadReport

CONFIG_BODY = Body(
    "Workflow and reactor nodes in the configuration language, without settings.",
    WORKFLOW_CONTENT_TYPES,
    "workflow show {\n    rtmp_receive rtmp_app=live stream_key=show\n}\n",
)

PRUNE = Parameter(
    "prune",
    "query",
    TRUE_OR_FALSE,
    "The body is all that there shall be: stop what it does not name, but for the workflows of reactors.",
)
ON_ERROR = Parameter(
    "on_error",
    "query",
    {"type": "string", "enum": ["rollback"]},
    "What is always done: if any part fails, all of it is taken back.",
)
MAX_DISCONNECTS = Parameter(
    "max_disconnects",
    "query",
    {"type": "string", "pattern": "^[0-9]{1,6}$"},
    f"Change nothing if more publishers and watchers than this would be disconnected; 0 to {LARGEST_NUMBER}.",
)

_BAD_BODY = {
    400: error("The body is not good, or an option makes no sense; nothing was changed."),
    408: error("The body did not arrive in time."),
    412: LOST_RACE,
    413: error("The body is too large."),
}
_ENDS: dict[int, Answer] = {
    409: error("It cannot be done, or failed and was taken back as a whole; or something newer came in its way."),
    503: error("The server is being stopped."),
    504: error("Still pending after `wait`; it goes on."),
    507: NOT_KEPT,
}

GET_CONFIG = Operation(
    "GET",
    "/config",
    "getConfig",
    "What runs as a configuration file that can be applied again: reactors, and workflows but for those of reactors.",
    {200: text_answer("The text.", "ETag"), 304: NOT_MODIFIED, 400: BAD_CONDITION, 412: LOST_RACE},
    CONDITIONS,
)
PUT_CONFIG = Operation(
    "PUT",
    "/config",
    "putConfig",
    "Put a whole set of workflows and reactors in place, all of it or nothing.",
    {200: json_answer("The plan: accepted, with `wait` carried out.", ConfigPlan, "ETag"), **_BAD_BODY, **_ENDS},
    (PRUNE, WAIT, ON_ERROR, MAX_DISCONNECTS, *CONDITIONS),
    CONFIG_BODY,
)
PLAN_CONFIG = Operation(
    "POST",
    "/config/plan",
    "planConfig",
    "What `PUT /config` would do. The ETag is that of the configuration which it was compared with.",
    {
        200: json_answer("The plan.", ConfigPlan, "ETag"),
        **_BAD_BODY,
        409: error("It cannot be done: names or reactors are in conflict."),
    },
    (PRUNE, *CONDITIONS),
    CONFIG_BODY,
)
RELOAD_CONFIG = Operation(
    "POST",
    "/config/reload",
    "reloadConfig",
    "Read the configuration file again and put in place what it says, all of it or nothing.",
    {
        200: json_answer("Accepted, with `wait` carried out.", ReloadReport, "ETag"),
        400: error("The file cannot be used; nothing was changed."),
        **_ENDS,
    },
    (WAIT,),
)
