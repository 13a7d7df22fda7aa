"""`/timeline`: the last hour of the server, for who looks at it now."""

from quart import Response

from mmids_trio.http_api.answers import respond
from mmids_trio.http_api.operation import JSON, Operation, json_answer
from mmids_trio.http_api.routing import Routes
from mmids_trio.http_api.schemas import TimelineView
from mmids_trio.http_api.timeline import Timeline

GET_TIMELINE = Operation(
    "GET",
    "/timeline",
    "getTimeline",
    "The last hour: media that came, publishers and watchers every ten seconds, states of streams, and events.",
    {200: json_answer("All that is kept of it.", TimelineView)},
)


def add_timeline_route(routes: Routes, timeline: Timeline) -> None:
    """Add what looks back."""

    @routes.add(GET_TIMELINE)
    async def get_timeline() -> Response:
        return respond(200, await timeline.text(), JSON)
