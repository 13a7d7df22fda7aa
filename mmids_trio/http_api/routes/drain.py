"""`/cluster/drain`: empty a server before it stops; of a cluster any node can be asked for any other."""

from quart import Response

from mmids_trio.http_api.answers import json_response
from mmids_trio.http_api.control import Drains
from mmids_trio.http_api.operation import WAIT, Operation, QueryParameter, error, json_answer
from mmids_trio.http_api.options import MAX_DEADLINE_SECONDS, parse_drain_options
from mmids_trio.http_api.routing import Routes, request_query
from mmids_trio.http_api.schemas import DrainView

DRAIN_PATH = "/cluster/drain"

NODE = QueryParameter(
    "node", "query", {"type": "string", "minLength": 1}, "A node of the cluster; without it the server that is asked."
)
DEADLINE = QueryParameter(
    "deadline",
    "query",
    {"type": "integer", "minimum": 0, "maximum": MAX_DEADLINE_SECONDS},
    "Seconds after which it counts as over, whoever is left; without it there is no end.",
)
_ANSWERS = {
    200: json_answer("How far it is.", DrainView),
    400: error("A parameter is not as it must be."),
    404: error("There is no such node."),
    503: error("The cluster's registry does not answer."),
}

GET_DRAIN = Operation(
    "GET",
    DRAIN_PATH,
    "getDrain",
    "Whether a server is being emptied, and who is left. With `wait` it answers when nobody is.",
    _ANSWERS,
    (NODE, WAIT),
)
BEGIN_DRAIN = Operation(
    "POST",
    DRAIN_PATH,
    "beginDrain",
    "Empty a server: it takes no publishers any more, is not ready, and asks clients to connect again that can.",
    _ANSWERS,
    (NODE, DEADLINE),
    scope="admin",
)
END_DRAIN = Operation(
    "DELETE",
    DRAIN_PATH,
    "endDrain",
    "Have a server take publishers again.",
    _ANSWERS,
    (NODE,),
    scope="admin",
)


def add_drain_routes(routes: Routes, drains: Drains) -> None:
    """Add what empties servers."""

    @routes.add(GET_DRAIN)
    async def get_drain() -> Response:
        options = parse_drain_options(request_query(), ("node", "wait"))
        return json_response(200, await drains.wait(options.node, options.wait))

    @routes.add(BEGIN_DRAIN)
    async def begin_drain() -> Response:
        options = parse_drain_options(request_query(), ("node", "deadline"))
        return json_response(200, await drains.begin(options.node, options.deadline))

    @routes.add(END_DRAIN)
    async def end_drain() -> Response:
        options = parse_drain_options(request_query(), ("node",))
        return json_response(200, await drains.end(options.node))
