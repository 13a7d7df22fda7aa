"""`/changes`, `/logs`: what has changed lately and by whom, and what the log says of it."""

from datetime import UTC, datetime

import trio
from quart import Response

from mmids_trio.http_api.access import current_caller
from mmids_trio.http_api.answers import json_response, json_text, respond
from mmids_trio.http_api.control import History, RecentLog
from mmids_trio.http_api.operation import JSON, Operation, QueryParameter, error, json_answer
from mmids_trio.http_api.options import MAX_PAGE, USUAL_PAGE, parse_page_options
from mmids_trio.http_api.refusals import BadRequest, NotHere
from mmids_trio.http_api.routing import Routes, request_query
from mmids_trio.http_api.schemas import ChangePage, LogLines
from mmids_trio.http_api.seen_changes import SEEN_PER_TURN, record_seen_by, seen_by
from mmids_trio.state.history import ChangeRecord

OBJECTS_PER_SLICE = 16
"""Changes that are written between two turns of everybody else; each may name a hundred workflows."""

LEVELS = ("debug", "info", "warning", "error")

ID = QueryParameter("id", "path", {"type": "string", "minLength": 1, "examples": ["17"]}, "The id of a change.")
LIMIT = QueryParameter(
    "limit",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": USUAL_PAGE},
    "How many at most.",
)
AFTER = QueryParameter("after", "query", {"type": "string"}, "`next` of the page before.")
WORKFLOW = QueryParameter("workflow", "query", {"type": "string"}, "Only what is about this workflow.")
BAD_QUERY = error("A parameter cannot be what it is.")

LIST_CHANGES = Operation(
    "GET",
    "/changes",
    "listChanges",
    "The changes of the configuration, the newest first: when, by whom, what, and how they ended."
    " With `change:PATTERN` alone only what was done with the workflows that it may change.",
    {
        200: json_answer("A page of changes.", ChangePage),
        400: BAD_QUERY,
        404: error("`after` is no change that is kept."),
    },
    (WORKFLOW, QueryParameter("by", "query", {"type": "string"}, "Only those of this token's bearer."), LIMIT, AFTER),
    also="change",
)
GET_CHANGE = Operation(
    "GET",
    "/changes/{id}",
    "getChange",
    "One change, with the configuration of its workflows before and after.",
    {200: json_answer("The change.", ChangeRecord), 404: error("There is none of that id.")},
    (ID,),
    also="change",
)
GET_LOGS = Operation(
    "GET",
    "/logs",
    "getLogs",
    "The newest lines of the log that are as wanted, the oldest of these first.",
    {200: json_answer("The lines.", LogLines), 400: BAD_QUERY},
    (
        WORKFLOW,
        QueryParameter("level", "query", {"type": "string", "enum": list(LEVELS), "default": "info"}, "At the least."),
        QueryParameter(
            "since", "query", {"type": "string", "format": "date-time"}, "Only those of this time on (RFC 3339)."
        ),
        LIMIT,
    ),
    scope="admin",
)


def add_history_routes(routes: Routes, history: History) -> None:
    """Add what looks at changes that were made."""

    @routes.add(LIST_CHANGES)
    async def list_changes() -> Response:
        options = parse_page_options(request_query(), ("workflow", "by"))
        workflow, by = options.only.get("workflow"), options.only.get("by")
        records = []
        for count, seen in enumerate(seen_by(current_caller(), history.newest_first()), 1):
            if seen is not None:
                records.append(seen)
            if count % SEEN_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        if options.after is not None:
            ids = [record.id for record in records]
            if options.after not in ids:
                raise NotHere("after: there is no change of that id (any more)")
            records = records[ids.index(options.after) + 1 :]
        found = [
            record for record in records if by in (None, record.by) and (workflow is None or record.is_about(workflow))
        ]
        page = found[: options.limit]
        shown = []
        for count, record in enumerate(page, 1):
            shown.append(json_text(record))
            if count % OBJECTS_PER_SLICE == 0:
                await trio.lowlevel.checkpoint()
        following = page[-1].id if len(found) > len(page) else None
        return respond(200, f'{{"changes": [{", ".join(shown)}], "next": {json_text(following)}}}\n', JSON)

    @routes.add(GET_CHANGE)
    async def get_change(id: str) -> Response:
        record = history.get(id)
        if record is None or (record := record_seen_by(current_caller(), record)) is None:
            raise NotHere("Change not found")
        return json_response(200, record)


def add_log_route(routes: Routes, log: RecentLog) -> None:
    """Add what looks at the log."""

    @routes.add(GET_LOGS)
    async def get_logs() -> Response:
        options = parse_page_options(request_query(), ("workflow", "level", "since"))
        level = options.only.get("level", "info")
        if level not in LEVELS:
            raise BadRequest(f"level={level!r}; expected one of {', '.join(LEVELS)}")
        lines = log.newest(
            options.limit,
            workflow=options.only.get("workflow"),
            level=level,
            since=_as_in_the_log(options.only.get("since")),
        )
        return json_response(200, LogLines(tuple(dict(line) for line in lines), log.dropped))


def _as_in_the_log(since: str | None) -> str | None:
    """A time as lines of the log have theirs, which sort as texts do."""
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since)
        if moment.tzinfo is None:
            raise ValueError(since)
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise BadRequest(f"since={since[:100]!r}; expected a time with its zone, as 2026-01-31T02:13:00Z") from None
