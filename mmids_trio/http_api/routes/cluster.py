"""`/cluster`: its nodes, and the configuration that all of them have, changed at all of them or none."""

from collections.abc import Sequence
from typing import Protocol

from quart import Response, request

from mmids_trio.cluster.questions import Outcome, Question
from mmids_trio.config.encoding import decode
from mmids_trio.http_api import access
from mmids_trio.http_api.answers import json_response, text_response
from mmids_trio.http_api.canonical import text_tag
from mmids_trio.http_api.cluster_shapes import (
    ClusterStreamPage,
    ClusterStreamView,
    ClusterView,
    FleetAnswer,
    FleetNodeAnswer,
    FleetRefusal,
)
from mmids_trio.http_api.etags import check_change, check_reading, parse_conditions
from mmids_trio.http_api.operation import (
    COMPRESSED,
    CONDITIONS,
    IN_PLACE,
    LOST_RACE,
    NOT_MODIFIED,
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
    WORKFLOW_CONTENT_TYPES,
    FleetOptions,
    PageOptions,
    check_content_type,
    parse_fleet_options,
)
from mmids_trio.http_api.refusals import BadRequest, NotHere, PreconditionFailed
from mmids_trio.http_api.routes.config import ALLOW_EMPTY, MAX_DISCONNECTS
from mmids_trio.http_api.routing import REQUEST_FILE, Routes, request_body, request_query


class Cluster(Protocol):
    """The cluster that the server is in."""

    async def view(self) -> ClusterView:
        """Its nodes; those of before where the registry is away."""

    async def streams(self) -> tuple[Sequence[ClusterStreamView], int]:
        """Those of all nodes, sorted by node; and how many nodes do not tell of. Raises `RegistryAway`."""

    async def decided(self) -> tuple[int, str]:
        """The number and the text of what all nodes have; 0 and nothing before the first. Raises `RegistryAway`."""

    async def ask(self, question: Question) -> Outcome:
        """Ask all nodes. Raises `MmidsError`."""


WHAT = "the fleet's configuration"
FLEET_BODY = Body(
    "What every node has as its set `fleet`, all of it: workflow and reactor nodes, without settings.",
    WORKFLOW_CONTENT_TYPES,
    "workflow show {\n    rtmp_receive rtmp_app=live stream_key=* cluster\n}\n",
)
TAKE_OVER = QueryParameter(
    "take_over", "query", TRUE_OR_FALSE, "Whether the body may name what others than the fleet have, and takes it."
)
AWAY = error("The cluster's registry does not answer.")
_BAD = {
    400: error("The body is not good, or an option makes no sense; nothing was changed."),
    408: error("The body did not arrive in time."),
    409: json_answer("A node cannot, another change is under way, or it is not in place everywhere.", FleetRefusal),
    412: LOST_RACE,
    413: error("The body is too large."),
    415: COMPRESSED,
    503: AWAY,
}

GET_CLUSTER = Operation(
    "GET",
    "/cluster",
    "getCluster",
    "The cluster that the server is in: its nodes, and what is wrong with them.",
    {200: json_answer("The cluster.", ClusterView), 404: error("The server is in no cluster.")},
)
GET_FLEET = Operation(
    "GET",
    "/cluster/config",
    "getFleetConfig",
    "The configuration that all nodes have, as it was sent.",
    {
        200: text_answer("The text.", "ETag"),
        304: NOT_MODIFIED,
        400: error("A condition is malformed."),
        404: error("Nothing was decided yet, or the server is in no cluster."),
        412: LOST_RACE,
        503: AWAY,
    },
    CONDITIONS,
    scope="admin",  # it has the secrets that stand in the text
)
PUT_FLEET = Operation(
    "PUT",
    "/cluster/config",
    "putFleetConfig",
    "Put a configuration in place at all nodes, or at none.",
    {
        200: json_answer("It is in place at every node.", FleetAnswer, "ETag"),
        **_BAD,
        404: error("The server is in no cluster."),
        504: json_answer("Whether it was decided is not known.", FleetRefusal),
    },
    (TAKE_OVER, WAIT, MAX_DISCONNECTS, ALLOW_EMPTY, IN_PLACE, *CONDITIONS),
    FLEET_BODY,
    scope="admin",
)
PLAN_FLEET = Operation(
    "POST",
    "/cluster/config/plan",
    "planFleetConfig",
    "What `PUT /cluster/config` would do, at each node. The ETag is that of what it was compared with.",
    {200: json_answer("The plan.", FleetAnswer, "ETag"), **_BAD, 404: error("The server is in no cluster.")},
    (TAKE_OVER, ALLOW_EMPTY, IN_PLACE, *CONDITIONS),
    FLEET_BODY,
    scope="admin",
)


def add_cluster_routes(routes: Routes, cluster: Cluster | None) -> None:
    """Add what looks at a cluster and changes all of it; a server that is in none says so."""

    def found() -> Cluster:
        if cluster is None:
            raise NotHere("this server is in no cluster")
        return cluster

    @routes.add(GET_CLUSTER)
    async def get_cluster() -> Response:
        return json_response(200, await found().view())

    @routes.add(GET_FLEET)
    async def get_fleet() -> Response:
        number, text = await found().decided()
        if not number:
            raise NotHere("nothing was applied to the fleet yet")
        etag = fleet_tag(number, text)
        check_reading(parse_conditions(request.headers), etag, WHAT)
        return text_response(200, text, etag=etag)

    @routes.add(PUT_FLEET)
    async def put_fleet() -> Response:
        options = parse_fleet_options(request_query(), ("wait", "max_disconnects"))
        return await _asked(found(), options, is_plan=False)

    @routes.add(PLAN_FLEET)
    async def plan_fleet() -> Response:
        return await _asked(found(), parse_fleet_options(request_query()), is_plan=True)


def fleet_tag(number: int, text: str) -> str:
    """The tag of a revision: the same text that is decided again has another one."""
    return text_tag(f"{number}\n{text}")


async def _asked(cluster: Cluster, options: FleetOptions, *, is_plan: bool) -> Response:
    check_content_type(request.headers.get("Content-Type"))
    conditions = parse_conditions(request.headers)
    body = await request_body()
    if not body:
        raise BadRequest("the body is empty; a configuration without anything in it is at least a comment (#)")
    text = decode(body, REQUEST_FILE)
    number, decided = await cluster.decided()
    etag = fleet_tag(number, decided)
    check_change(conditions, etag, WHAT)
    question = Question(
        text,
        access.current_caller().name,
        is_plan,
        take_over=options.take_over,
        in_place=options.in_place,
        allow_empty=options.allow_empty,
        based_on=number,
        max_disconnects=options.max_disconnects,
        wait=options.wait,
    )
    outcome = await cluster.ask(question)
    return await _answer(outcome, cluster, etag if is_plan else None, text)


async def _answer(outcome: Outcome, cluster: Cluster, etag: str | None, text: str) -> Response:
    nodes = tuple(FleetNodeAnswer(each.node, each.stage, each.reasons, each.plan) for each in outcome.nodes)
    if outcome.ending == "lost":
        now, decided = await cluster.decided()
        raise PreconditionFailed(f"{outcome.reason}; nothing was changed", fleet_tag(now, decided))
    if outcome.ending not in ("planned", "applied"):
        suffix = "" if outcome.ending in ("partly", "unknown") else "; nothing was changed"
        refusal = FleetRefusal(f"{outcome.reason}{suffix}", outcome.ending, outcome.number, nodes)
        return json_response(504 if outcome.ending == "unknown" else 409, refusal)
    answer = FleetAnswer(
        outcome.ending,
        outcome.number,
        any(each.plan.is_changed for each in nodes),
        sum(each.plan.publishers for each in nodes),
        sum(each.plan.watchers for each in nodes),
        nodes,
    )
    return json_response(200, answer, etag=etag or fleet_tag(outcome.number, text))


async def cluster_streams(cluster: Cluster | None, options: PageOptions) -> Response:
    """The page of `GET /streams?scope=cluster`."""
    if cluster is None:
        raise NotHere("this server is in no cluster")
    streams, left_out = await cluster.streams()
    wanted = [
        stream
        for stream in streams
        if options.only.get("workflow") in (None, stream.workflow) and options.only.get("state") in (None, stream.state)
    ]
    start = 0
    if options.after is not None:
        start = next((n for n, each in enumerate(wanted) if (each.node, each.id) > _after(options.after)), len(wanted))
    shown = tuple(wanted[start : start + options.limit])
    is_last = start + options.limit >= len(wanted)
    following = None if is_last else f"{shown[-1].node}/{shown[-1].id}"
    return json_response(200, ClusterStreamPage(shown, following, left_out))


def _after(text: str) -> tuple[str, str]:
    node, slash, name = text.partition("/")
    if not slash:
        raise BadRequest(f"after={text!r}; expected `next` of a page with scope=cluster")
    return node, name
