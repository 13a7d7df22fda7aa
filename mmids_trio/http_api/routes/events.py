"""`GET /events`: what happens, as server-sent events."""

from difflib import get_close_matches

from quart import Response, request

from mmids_trio.http_api.access import still_may
from mmids_trio.http_api.answers import refuse, respond
from mmids_trio.http_api.event_feed import MAX_STREAMS, EventFeed
from mmids_trio.http_api.event_shapes import EVENT_TYPES
from mmids_trio.http_api.event_stream import EVENTS_PATH, RETRY_MILLISECONDS, EventStream
from mmids_trio.http_api.operation import EVENT_STREAM, AnswerSpec, Operation, QueryParameter, error
from mmids_trio.http_api.options import known_values
from mmids_trio.http_api.refusals import BadRequest
from mmids_trio.http_api.routing import Routes, request_query
from mmids_trio.workflow.event_filter import EventFilter

_ANY_TYPE = "|".join(EVENT_TYPES)

EVENTS = Operation(
    "GET",
    EVENTS_PATH,
    "streamEvents",
    "What happens to workflows, streams and reactors, from now on or from `Last-Event-ID` on.",
    {
        200: AnswerSpec("Events, until the server stops or an hour is over.", {EVENT_STREAM: str}),
        400: error("An unknown type."),
        503: error("There are as many streams as there may be, or the server is being stopped.", "Retry-After"),
    },
    (
        QueryParameter(
            "types",
            "query",
            {"type": "string", "pattern": f"^({_ANY_TYPE})(,({_ANY_TYPE})){{0,{len(EVENT_TYPES) - 1}}}$"},
            f"Only these, separated by commas: {', '.join(EVENT_TYPES)}.",
        ),
        QueryParameter("workflow", "query", {"type": "string"}, "Only those that are about this workflow."),
        QueryParameter("Last-Event-ID", "header", {"type": "string"}, "The last id that was seen: go on behind it."),
    ),
)


def add_event_routes(routes: Routes, feed: EventFeed) -> None:
    """Add the stream of events."""

    @routes.add(EVENTS)
    async def stream_events() -> Response:
        values = known_values(request_query(), ("types", "workflow"))
        types = _types(values.get("types"))
        if feed.is_over or feed.is_full:
            return _turn_away("the server is being stopped" if feed.is_over else f"{MAX_STREAMS} streams are open")
        if request.method == "HEAD":
            return respond(200, "", EVENT_STREAM)
        start = feed.history.start(request.headers.get("Last-Event-ID"))
        wanted = EventFilter(types, values.get("workflow"))
        response = respond(200, EventStream(feed, start, wanted, still_may(EVENTS.scope)), EVENT_STREAM)
        response.timeout = None
        return response


def _turn_away(reason: str) -> Response:
    response = refuse(503, f"no stream of events: {reason}; try again later")
    response.headers["Retry-After"] = str(RETRY_MILLISECONDS // 1000)
    return response


def _types(value: str | None) -> frozenset[str]:
    if value is None:
        return frozenset()
    names = value.split(",")
    for name in names:
        if name not in EVENT_TYPES:
            close = get_close_matches(name, EVENT_TYPES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(EVENT_TYPES)}"
            raise BadRequest(f"unknown type of event {name!r}; {hint}")
    return frozenset(names)
