"""`/streams`, `/clients`: who is on the air, page by page, and who has to leave."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import trio
from quart import Response, request

from mmids_trio.addresses import is_within, network_of
from mmids_trio.errors import printable, shortened
from mmids_trio.ffmpeg.thumbnails import Thumbnails
from mmids_trio.http_api.answers import json_response, json_text, respond
from mmids_trio.http_api.cluster_shapes import ClusterStreamPage
from mmids_trio.http_api.etags import check_reading, parse_conditions
from mmids_trio.http_api.operation import (
    BAD_CONDITION,
    CONDITIONS,
    JSON,
    LOST_RACE,
    AnswerSpec,
    Operation,
    QueryParameter,
    error,
    json_answer,
    text_answer,
)
from mmids_trio.http_api.options import MAX_PAGE, USUAL_PAGE, PageOptions, parse_page_options
from mmids_trio.http_api.refusals import BadRequest, Conflict, NotHere
from mmids_trio.http_api.routes.bans import BAN, BANNED, Banning
from mmids_trio.http_api.routes.cluster import AWAY, Cluster, cluster_streams
from mmids_trio.http_api.routing import Routes, request_query
from mmids_trio.http_api.schemas import ClientPage, StreamPage
from mmids_trio.on_air.directory import ClientEntry, OnAir, StreamEntry
from mmids_trio.on_air.views import ClientView, StreamState, StreamView

OBJECTS_PER_SLICE = 16
"""Streams or clients that are looked at between two turns of everybody else."""

SENT_AWAY = "sent away over the API"
"""What the log says of who is."""

SEND_AWAY_PATHS = ("/streams/", "/clients/", "/bans/")

STATES: tuple[str, ...] = get_args(StreamState)
SCOPES = ("node", "cluster")
"""Whose streams are listed: this server's, or those of all nodes."""

Entry = TypeVar("Entry", StreamEntry, ClientEntry)

ID = QueryParameter("id", "path", {"type": "string", "minLength": 1, "examples": ["s-0011223344-7"]}, "An id.")
LIMIT = QueryParameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": USUAL_PAGE},
    "How many at most.",
)
AFTER = QueryParameter(
    "after", "query", {"type": "string"}, "`next` of the page before; also where that one is gone by now."
)


def _only(name: str, meaning: str, **schema: Any) -> QueryParameter:
    return QueryParameter(name, "query", {"type": "string", **schema}, meaning)


WORKFLOW = _only("workflow", "Only those of the workflow of that name.")
BAD_QUERY = error("A parameter is not as it must be.")
NO_SUCH_PAGE = error("`after` is no `next` that this server has given since it started.")

LIST_STREAMS = Operation(
    "GET",
    "/streams",
    "listStreams",
    "The streams on the air, whatever brings them in, the oldest first.",
    {
        200: json_answer("A page of streams.", StreamPage | ClusterStreamPage),
        400: BAD_QUERY,
        404: NO_SUCH_PAGE,
        503: AWAY,
    },
    (
        _only("scope", "`cluster`: in a cluster the streams of all nodes.", enum=list(SCOPES)),
        WORKFLOW,
        _only("state", "Only those in that state.", enum=list(STATES)),
        LIMIT,
        AFTER,
    ),
)
GET_STREAM = Operation(
    "GET",
    "/streams/{id}",
    "getStream",
    "One stream.",
    {200: json_answer("The stream.", StreamView), 404: error("There is none of that id.")},
    (ID,),
)
JPEG = "image/jpeg"

GET_THUMBNAIL = Operation(
    "GET",
    "/streams/{id}/thumbnail.jpg",
    "getThumbnail",
    "What a stream looks like: a picture some seconds old. It is made when somebody asks, so the first answer may take"
    " as long as the stream's next key frame.",
    {
        200: AnswerSpec("The picture.", {JPEG: bytes}, ("ETag",)),
        304: AnswerSpec("It is the one whose ETag was sent.", {}, ("ETag",)),
        400: BAD_CONDITION,
        404: error("There is no stream of that id, or no picture of it."),
        412: LOST_RACE,
    },
    (ID, *CONDITIONS),
)
END_STREAM = Operation(
    "DELETE",
    "/streams/{id}",
    "endStream",
    "End a stream, also one that waits for its publisher, and disconnect who publishes it.",
    {
        200: text_answer("It has ended."),
        201: BANNED,
        400: BAD_QUERY,
        404: error("There is none of that id."),
        409: error("A step brings it in that no client publishes to, or there are too many bans."),
    },
    (ID, BAN),
    scope="kick",
)
LIST_CLIENTS = Operation(
    "GET",
    "/clients",
    "listClients",
    "Who publishes and who watches, in the order in which they came.",
    {200: json_answer("A page of clients.", ClientPage), 400: BAD_QUERY, 404: NO_SUCH_PAGE},
    (
        _only("stream", "Only those of the stream of that id."),
        _only("address", "Only those from that address, or network."),
        WORKFLOW,
        LIMIT,
        AFTER,
    ),
)
KICK_CLIENT = Operation(
    "DELETE",
    "/clients/{id}",
    "kickClient",
    "Disconnect a client. What it publishes ends at once.",
    {
        200: text_answer("It is being disconnected."),
        201: BANNED,
        400: BAD_QUERY,
        404: error("There is none of that id."),
        409: error("There are too many bans."),
    },
    (ID, BAN),
    scope="kick",
)


def add_stream_routes(
    routes: Routes, on_air: OnAir, thumbnails: Thumbnails, banning: Banning, cluster: Cluster | None = None
) -> None:
    """Add what looks at streams and clients, sends them away, and keeps them away; `cluster`: where else there are."""

    @routes.add(LIST_STREAMS)
    async def list_streams() -> Response:
        options = parse_page_options(request_query(), ("workflow", "state", "scope"))
        if (scope := options.only.get("scope", "node")) not in SCOPES:
            raise BadRequest(f"scope={scope!r}; expected one of {', '.join(SCOPES)}")
        state, workflow = options.only.get("state"), options.only.get("workflow")
        if state is not None and state not in STATES:
            raise BadRequest(f"state={state!r}; expected one of {', '.join(STATES)}")
        if scope == "cluster":
            return await cluster_streams(cluster, options)

        def view(entry: StreamEntry) -> StreamView | None:
            if on_air.stream(entry.id) is not entry or workflow not in (None, entry.owner.workflow):
                return None
            now = trio.current_time()
            if state not in (None, entry.now(now).state):
                return None
            return entry.view(now, watchers[entry.id], on_air.troubles(entry))

        place = _place(on_air, options)
        watchers = await _watchers(on_air)
        return await _page("streams", on_air.streams(place), options, view)

    @routes.add(GET_STREAM)
    async def get_stream(id: str) -> Response:
        _found(on_air.stream(id), "Stream")
        watchers = await _watchers(on_air)
        stream = _found(on_air.stream(id), "Stream")
        return json_response(200, stream.view(trio.current_time(), watchers[id], on_air.troubles(stream)))

    @routes.add(GET_THUMBNAIL)
    async def get_thumbnail(id: str) -> Response:
        conditions = parse_conditions(request.headers)
        thumbnail = await thumbnails.get(_found(on_air.stream(id), "Stream"))
        if thumbnail is None:
            raise NotHere("there is no picture of the stream: it has none, or ffmpeg cannot make one")
        check_reading(conditions, thumbnail.tag, "the picture")
        return respond(200, thumbnail.jpeg, JPEG, etag=thumbnail.tag)

    @routes.add(LIST_CLIENTS)
    async def list_clients() -> Response:
        options = parse_page_options(request_query(), ("stream", "address", "workflow"))
        stream, workflow = (options.only.get(name) for name in ("stream", "workflow"))
        is_wanted = _from(options.only.get("address"))

        def view(entry: ClientEntry) -> ClientView | None:
            if workflow not in (None, entry.owner.workflow) or not is_wanted(entry.peer.address):
                return None
            if stream is not None and on_air.stream_watched(entry) != stream:
                return None
            return on_air.view_of(entry)

        return await _page("clients", on_air.clients(_place(on_air, options)), options, view)

    _add_sending_away(routes, on_air, banning)


def _add_sending_away(routes: Routes, on_air: OnAir, banning: Banning) -> None:
    @routes.add(END_STREAM)
    async def end_stream(id: str) -> Response:
        seconds, stream = banning.seconds(), _found(on_air.stream(id), "Stream")
        ban = None
        if stream.send_away is None:
            raise Conflict(f"nobody publishes it: step {stream.owner.step_id} of {stream.owner.workflow} brings it in")
        if seconds is not None:
            ban = banning.ban(partial(on_air.bans.ban_stream, stream.app or "", stream.name, seconds))
        is_published = isinstance(stream.source, ClientEntry) and stream.source.live is not None
        what = f"stream {id} {_shown(stream.name)} was ended"
        banning.note(stream.owner.workflow, what, seconds, role="publisher" if is_published else None)
        if isinstance(stream.source, ClientEntry) and stream.source.live is not None:
            stream.source.live.send_away(SENT_AWAY)
        if on_air.stream(id) is stream:  # nobody sends it, or who does is not quite in yet
            stream.send_away(SENT_AWAY)
        return await banning.answer(ban)

    @routes.add(KICK_CLIENT)
    async def kick_client(id: str) -> Response:
        seconds, client = banning.seconds(), _found(on_air.client(id), "Client")
        ban = None
        if seconds is not None:
            ban = banning.ban(partial(on_air.bans.ban_address, client.peer.address, seconds))
        if client.live is not None:
            role = client.asked.role
            what = f"{role} {id} of {_shown(client.asked.key)} ({client.peer.address}) was sent away"
            banning.note(client.owner.workflow, what, seconds, role=role)
            client.live.send_away(SENT_AWAY)
        return await banning.answer(ban)


def _from(address: str | None) -> Callable[[str], bool]:
    """Whether somebody is from there, however that is written; `None`: from anywhere. A network has all in it."""
    if address is None:
        return lambda _host: True
    network = network_of(address)
    return address.__eq__ if network is None else lambda host: host == address or is_within(host, (network,))


def _found(entry: Entry | None, kind: str) -> Entry:
    if entry is None:
        raise NotHere(f"{kind} not found")
    return entry


def _shown(name: str) -> str:
    """For a text that is read when nobody of that name is here any more."""
    return f"'{printable(shortened(name))}'"


async def _watchers(on_air: OnAir) -> Counter[str]:
    """How many watch each stream. Everybody else has a turn after each slice."""
    found = Counter[str]()
    for _ in on_air.watched(found, OBJECTS_PER_SLICE):
        await trio.lowlevel.checkpoint()
    return found


def _place(on_air: OnAir, options: PageOptions) -> int:
    if options.after is None:
        return 0
    place = on_air.place_of(options.after)
    if place is None:
        raise NotHere("after: this is no `next` of a page that this server has given since it started")
    return place


async def _page(
    name: str, entries: Sequence[Entry], options: PageOptions, view: Callable[[Entry], StreamView | ClientView | None]
) -> Response:
    """Those that `view` shows, as far as the page goes. Everybody else has a turn after each slice."""
    shown: list[str] = []
    last, following = "", None
    for count, entry in enumerate(entries, 1):
        if (found := view(entry)) is not None:
            if len(shown) == options.limit:
                following = last
                break
            shown.append(json_text(found))
            last = entry.id
        if count % OBJECTS_PER_SLICE == 0:
            await trio.lowlevel.checkpoint()
    return respond(200, f'{{"{name}": [{", ".join(shown)}], "next": {json_text(following)}}}\n', JSON)
