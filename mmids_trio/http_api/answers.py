"""What clients read: JSON, text and refusals, with the headers that every answer has, and what exceptions become."""

import json
from collections.abc import Iterable
from typing import Any

import structlog
from quart import Response, current_app, request
from quart_trio import QuartTrio
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
)

from mmids_trio.cluster.directory import RegistryAway
from mmids_trio.errors import CannotSwitch, ConfigurationError, MmidsError, NoSuchStep
from mmids_trio.http_api.operation import JSON, TEXT
from mmids_trio.http_api.refusals import (
    BadRequest,
    Conflict,
    Forbidden,
    GuardRefused,
    NotHere,
    NotModified,
    PreconditionFailed,
    TextConflict,
    UnreadableEncoding,
)
from mmids_trio.http_api.routing import BODY_TIMEOUT_SECONDS, max_body_bytes, request_body
from mmids_trio.http_api.schemas import ConditionError, Error, GuardError, Hide, ProblemReport, shown_as_it_is, to_json
from mmids_trio.workflow.change import Stopping
from mmids_trio.workflow.plan import OwnedByOthers, SetConflict

HIDE = "MMIDS_HIDE"
"""Where an application has what takes secrets out of messages."""


def json_response(status: int, content: Any, *, etag: str | None = None) -> Response:
    """What `content` (see `schemas.to_json`) says, as JSON."""
    return respond(status, json_text(content) + "\n", JSON, etag=etag)


def json_text(content: Any) -> str:
    """The same as a part of an answer."""
    hide: Hide = current_app.config.get(HIDE, shown_as_it_is)
    return json.dumps(to_json(content, hide))


def text_response(status: int, content: str, *, etag: str | None = None) -> Response:
    """Plain text."""
    return respond(status, content, TEXT, etag=etag)


def refuse(status: int, message: str, problems: Iterable[ProblemReport] = ()) -> Response:
    """A refusal with a sentence, and every problem of the text that it is about."""
    return json_response(status, Error(message, tuple(problems)))


def respond(status: int, content: Any, content_type: str | None, *, etag: str | None = None) -> Response:
    """Any answer; `content` may be a body that is made as it is sent."""
    response = Response(content, status=status, content_type=content_type)
    if content_type is None:
        response.headers.pop("Content-Type", None)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if etag is not None:
        response.headers["ETag"] = etag
    return response


FORM = "application/x-www-form-urlencoded"

LOST_LINES = "the body is a single line; curl keeps the line ends of a file with --data-binary, not with --data"

_log = structlog.get_logger(__name__)


def add_failure_handlers(app: QuartTrio) -> None:
    """Have every exception answered."""
    _add_refusals(app)
    _add_conditions(app)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        response = refuse(error.code or 500, _explain(error, app))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @app.errorhandler(Exception)
    async def unexpected(error: Exception) -> Response:
        _log.error("http request failed", exc_info=error)
        return refuse(500, "internal error; the server's log has it under this answer's x-request-id")


def _add_refusals(app: QuartTrio) -> None:
    @app.errorhandler(BadRequest)
    @app.errorhandler(MmidsError)
    async def bad_request(error: Exception) -> Response:
        if not isinstance(error, ConfigurationError):
            return refuse(400, str(error))
        message = f"{error}\n{LOST_LINES}" if await _is_on_one_line() else str(error)
        return refuse(400, message, map(ProblemReport.of, error.problems))

    @app.errorhandler(NoSuchStep)
    async def no_such_step(error: NoSuchStep) -> Response:
        return refuse(404, str(error))

    @app.errorhandler(CannotSwitch)
    @app.errorhandler(Conflict)
    async def conflict(error: Exception) -> Response:
        return refuse(409, str(error))

    @app.errorhandler(OwnedByOthers)
    async def owned_by_others(error: OwnedByOthers) -> Response:
        return json_response(409, GuardError(f"{error}; nothing was changed", "take_over"))

    @app.errorhandler(SetConflict)
    async def set_conflict(error: SetConflict) -> Response:
        problems = (ProblemReport(None, None, None, problem) for problem in error.problems)
        return refuse(409, str(error), problems)

    @app.errorhandler(TextConflict)
    async def text_conflict(error: TextConflict) -> Response:
        return refuse(409, "\n".join(map(str, error.problems)), map(ProblemReport.of, error.problems))

    @app.errorhandler(GuardRefused)
    async def guard_refused(error: GuardRefused) -> Response:
        return json_response(409, GuardError(error.message, error.guard))

    @app.errorhandler(UnreadableEncoding)
    async def unreadable(error: UnreadableEncoding) -> Response:
        response = refuse(415, str(error))
        response.headers["Accept-Encoding"] = "identity"  # RFC 9110 §15.5.16
        return response

    @app.errorhandler(Forbidden)
    async def forbidden(error: Forbidden) -> Response:
        return refuse(403, str(error))

    @app.errorhandler(RegistryAway)
    async def registry_away(error: RegistryAway) -> Response:
        return refuse(503, f"the cluster's registry is away: {error}")

    @app.errorhandler(NotHere)
    async def not_here(error: NotHere) -> Response:
        return refuse(404, str(error))

    @app.errorhandler(Stopping)
    async def stopping(error: Stopping) -> Response:
        return refuse(503, str(error))


def _add_conditions(app: QuartTrio) -> None:
    @app.errorhandler(PreconditionFailed)
    async def lost_race(error: PreconditionFailed) -> Response:
        return json_response(412, ConditionError(error.message, error.etag), etag=error.etag)

    @app.errorhandler(NotModified)
    async def not_modified(error: NotModified) -> Response:
        return respond(304, "", None, etag=error.etag)


async def _is_on_one_line() -> bool:
    """Whether the body is what `curl --data @file` makes of a file."""
    body = await request_body() if request.mimetype == FORM else b""
    return bool(body) and b"\n" not in body


def _explain(error: HTTPException, app: QuartTrio) -> str:
    match error:
        case NotFound():
            return f"no such path; known are {', '.join(_known_paths(app))}"
        case MethodNotAllowed():
            return f"this path takes {', '.join(sorted(error.valid_methods or ()))}"
        case RequestEntityTooLarge():
            return f"the body is larger than {max_body_bytes(request.path)} bytes"
        case RequestTimeout():
            return f"the body did not arrive within {BODY_TIMEOUT_SECONDS} s"
    return error.description or error.name


def _known_paths(app: QuartTrio) -> list[str]:
    rules = dict.fromkeys(
        rule.rule.replace("<any_name:", "<").replace("<id:", "<") for rule in app.url_map.iter_rules()
    )
    return list(rules)
