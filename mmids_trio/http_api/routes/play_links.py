"""`/play-links`: what has a player in until a certain time, signed with the `play_key` of a step, which stays here."""

import json
from collections.abc import Callable
from time import time

from attrs import frozen
from quart import Response, request

from mmids_trio.config.names import MAX_NAME_BYTES
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.http_api import access
from mmids_trio.http_api.answers import json_response
from mmids_trio.http_api.control import Workflows
from mmids_trio.http_api.operation import COMPRESSED, Body, Operation, error, json_answer
from mmids_trio.http_api.options import JSON_CONTENT_TYPES, check_json_type
from mmids_trio.http_api.refusals import BadRequest, Conflict, NotHere
from mmids_trio.http_api.routing import Routes, request_body
from mmids_trio.http_api.schemas import PlayLink
from mmids_trio.moments import rfc3339
from mmids_trio.rtmp.server.play_tokens import EXPIRES, TOKEN, sign

PLAY_LINKS_PATH = "/play-links"

LEAST_SECONDS, MOST_SECONDS = 10, 31 * 24 * 3600
"""How long a link may be good for: to be opened at all, and a month, as it cannot be taken back by itself."""

EXPECTED = (
    '{"workflow": NAME, "step_id": ID, "key": STREAM KEY, "seconds": '
    f"{LEAST_SECONDS} to {MOST_SECONDS}}} as application/json"
)

MAKE_PLAY_LINK = Operation(
    "POST",
    PLAY_LINKS_PATH,
    "makePlayLink",
    "Sign a stream key with the `play_key` of a step, for a player that begins before the link expires.",
    {
        200: json_answer("What to put behind the address of the stream.", PlayLink),
        400: error("The body is not as it must be, or the step does not serve that stream key."),
        404: error("No such workflow, or no such step in it."),
        408: error("The body did not arrive in time."),
        409: error("The step has no `play_key`: its players need no signature."),
        413: error("The body is too large."),
        415: COMPRESSED,
    },
    body=Body(
        "What shall be watched, and for how many seconds from now on a player may begin to.",
        JSON_CONTENT_TYPES,
        {"workflow": "show", "step_id": "8803148140528886778", "key": "tonight", "seconds": 3600},
        schema={
            "type": "object",
            "properties": {
                "workflow": {"type": "string", "minLength": 1},
                "step_id": {"type": "string", "minLength": 1},
                "key": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "pattern": r"^[^?]+$"},
                "seconds": {"type": "integer", "minimum": LEAST_SECONDS, "maximum": MOST_SECONDS},
            },
            "required": ["workflow", "step_id", "key", "seconds"],
            "additionalProperties": False,
        },
    ),
    scope="change",
)


@frozen
class Asked:
    """What a body asks for."""

    workflow: str
    step_id: str
    key: str
    seconds: int


def add_play_link_route(routes: Routes, workflows: Workflows, now: Callable[[], float] = time) -> None:
    """Add what signs. Who may change a workflow could give its steps another `play_key`, so the same may sign."""

    @routes.add(MAKE_PLAY_LINK)
    async def make_play_link() -> Response:
        check_json_type(request.headers.get("Content-Type"), EXPECTED)
        asked = parse_asked(await request_body())
        access.check_change(asked.workflow)
        definition = workflows.definition(asked.workflow)
        if definition is None:
            raise NotHere("Workflow not found")
        expires = int(now()) + asked.seconds
        token = sign(_play_key(definition, asked), asked.key, expires)
        return json_response(200, PlayLink(f"{EXPIRES}={expires}&{TOKEN}={token}", rfc3339(expires)))


def parse_asked(body: bytes) -> Asked:
    """Raises `BadRequest`."""
    try:
        fields = json.loads(body)
        asked = Asked(**fields)
    except (ValueError, RecursionError, TypeError):
        raise BadRequest(f"expected {EXPECTED}") from None
    names = (asked.workflow, asked.step_id, asked.key)
    if not all(isinstance(name, str) and name for name in names) or type(asked.seconds) is not int:
        raise BadRequest(f"expected {EXPECTED}")
    if not LEAST_SECONDS <= asked.seconds <= MOST_SECONDS:
        raise BadRequest(f"a link is good for {LEAST_SECONDS} to {MOST_SECONDS} seconds, not {asked.seconds}")
    if "?" in asked.key or len(asked.key.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise BadRequest(f"expected a stream key without a query, of {MAX_NAME_BYTES} bytes at most")
    return asked


def _play_key(definition: WorkflowDefinition, asked: Asked) -> str:
    steps = dict(zip(definition.step_ids, definition.steps, strict=True))
    step = steps.get(asked.step_id)
    if step is None:
        raise NotHere(f"workflow '{asked.workflow}' has no such step")
    play_key = step.parameters.get("play_key")
    if play_key is None:
        raise Conflict(f"the step {step.step_type} has no play_key: its players need no signature")
    if step.parameters.get("stream_key") not in (asked.key, "*"):
        raise BadRequest("the step serves another stream key alone")
    return play_key
