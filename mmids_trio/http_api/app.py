"""The HTTP API as a Quart-Trio application: routes, refusals and the shape of every error.

The handlers only translate: what a request asks for is checked by `safety` and `put`, what it does is
done by the `Workflows` that it is given, and what goes back is shaped by `schemas`.
"""

import json

import structlog
import trio
from quart import Response, request
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
)
from werkzeug.routing import BaseConverter, MapAdapter

from mmids_trio.config.parser import decode, parse_workflow
from mmids_trio.errors import MmidsError
from mmids_trio.http_api.control import Change, Reactors, Workflows
from mmids_trio.http_api.put import BadRequest, PutOptions, check_content_type, parse_options
from mmids_trio.http_api.safety import refusal
from mmids_trio.http_api.schemas import (
    Json,
    error_json,
    names_json,
    plan_json,
    reactor_json,
    switched_json,
    workflow_json,
)
from mmids_trio.http_api.switching import parse_switch
from mmids_trio.http_api.tracing import Tracing
from mmids_trio.workflow.change import Stopping
from mmids_trio.workflow.status import Outcome, OutcomeKind
from mmids_trio.workflow.switching import CannotSwitch, NoSuchStep

MAX_BODY_BYTES = 1024 * 1024
"""Largest body of a PUT; a workflow of a thousand steps is about 100 kB."""

BODY_TIMEOUT_SECONDS = 30
"""How long a body may take; 1 MiB in 30 s is slower than any link that video goes over."""

LEAST_PATIENCE_SECONDS = 0.05
"""What `wait=0` waits: long enough to see that a change has nothing to wait for."""

REQUEST_FILE = "<request>"
"""Stands for the file name in messages about a body."""

_log = structlog.get_logger(__name__)


def create_app(workflows: Workflows, *, token: str | None, version: str, reactors: Reactors | None = None) -> QuartTrio:
    """Build the API over `workflows` (and `reactors`). Without a `token` it answers to loopback names only."""
    if token == "":
        raise ValueError("an empty http_api_token protects nothing; give None for no token")
    app = _Api(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        BODY_TIMEOUT=BODY_TIMEOUT_SECONDS,
        RESPONSE_TIMEOUT=None,  # every piece of a response has its deadline in the connection
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.url_map.merge_slashes = False
    app.url_map.converters["workflow"] = _WorkflowNameConverter
    _add_guard(app, token)
    _add_reading_routes(app, workflows, version)
    _add_changing_routes(app, workflows)
    _add_switch_route(app, workflows)
    if reactors is not None:
        _add_reactor_routes(app, reactors)
    _add_error_handlers(app)
    app.asgi_app = Tracing(app.asgi_app)  # type: ignore[method-assign]  # Quart's documented place for ASGI layers
    return app


class _Api(QuartTrio):
    """Routes by path alone: whether a `Host` will do is for `safety` to say."""

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Bind the routes to a request, without the `Host` that Quart would parse (and refuse)."""
        if request is None:
            return None
        return self.url_map.bind("localhost", default_method=request.method, path_info=request.path)


class _WorkflowNameConverter(BaseConverter):
    """Any name, also one with slashes in it."""

    regex = ".+"
    part_isolating = False


def _add_guard(app: QuartTrio, token: str | None) -> None:
    @app.before_request
    async def guard() -> Response | None:
        needs_token = not (request.path == "/" and request.method in ("GET", "HEAD"))
        refused = refusal(request.headers, token=token, needs_token=needs_token)
        if refused is None:
            return None
        response = _error(refused.status, refused.message)
        if refused.status == 401:  # noqa: PLR2004  (RFC 9110 §11.6.1 asks for the challenge)
            response.headers["WWW-Authenticate"] = "Bearer"
        return response


def _add_reading_routes(app: QuartTrio, workflows: Workflows, version: str) -> None:
    @app.get("/")
    async def health() -> Response:
        return _text(200, f"Mmids version {version}")

    @app.get("/workflows")
    async def list_workflows() -> Response:
        return _json(200, names_json(workflows.names()))

    @app.get("/workflows/<workflow:name>")
    async def get_workflow(name: str) -> Response:
        status = workflows.status(name)
        return _text(404, "Workflow not found") if status is None else _json(200, workflow_json(status))


def _add_reactor_routes(app: QuartTrio, reactors: Reactors) -> None:
    @app.get("/reactors")
    async def list_reactors() -> Response:
        return _json(200, [reactor_json(reactor) for reactor in reactors.views()])

    @app.get("/reactors/<workflow:name>")
    async def get_reactor(name: str) -> Response:
        reactor = reactors.view(name)
        return _text(404, "Reactor not found") if reactor is None else _json(200, reactor_json(reactor))


def _add_changing_routes(app: QuartTrio, workflows: Workflows) -> None:
    @app.put("/workflows")
    async def put_workflow() -> Response:
        check_content_type(request.headers.get("Content-Type"))
        options = parse_options(request.args.to_dict(flat=False))
        return await _put(workflows, await _body(), options)

    @app.delete("/workflows/<workflow:name>")
    async def delete_workflow(name: str) -> Response:
        await workflows.stop(name)
        return _text(200, "")


def _add_switch_route(app: QuartTrio, workflows: Workflows) -> None:
    @app.post("/workflows/<workflow:name>/steps/<step_id>/switch")
    async def switch_source(name: str, step_id: str) -> Response:
        to = parse_switch(request.args.to_dict(flat=False), request.headers.get("Content-Type"), await _body())
        return _json(200, switched_json(workflows.switch(name, step_id, to)))

    @app.errorhandler(NoSuchStep)
    async def no_such_step(error: NoSuchStep) -> Response:
        return _error(404, str(error))

    @app.errorhandler(CannotSwitch)
    async def cannot_switch(error: CannotSwitch) -> Response:
        return _error(409, str(error))


async def _body() -> bytes:
    """The body as it came, whatever type it claims (never read as a form)."""
    data = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    return data


async def _put(workflows: Workflows, body: bytes, options: PutOptions) -> Response:
    definition = workflows.validate(parse_workflow(decode(body, REQUEST_FILE), REQUEST_FILE))
    if options.dry_run:
        return _json(200, plan_json(workflows.plan(definition)))
    change = workflows.apply(definition, rollback=options.rollback)
    if options.wait is None:
        return _json(200, plan_json(change.plan))
    return _outcome(change, await _wait(change, options.wait), options.wait)


async def _wait(change: Change, seconds: float) -> Outcome | None:
    with trio.move_on_after(max(seconds, LEAST_PATIENCE_SECONDS)):
        return await change.wait()
    return None


def _outcome(change: Change, outcome: Outcome | None, waited: float) -> Response:
    if outcome is None:
        message = f"workflow {change.plan.workflow!r} is still pending after {waited:g} s; the update goes on"
        return _error(504, message)
    if outcome.kind is OutcomeKind.APPLIED:
        return _json(200, plan_json(change.plan))
    return _error(409, outcome.message)


def _add_error_handlers(app: QuartTrio) -> None:
    @app.errorhandler(BadRequest)
    @app.errorhandler(MmidsError)
    async def bad_request(error: Exception) -> Response:
        return _error(400, str(error))

    @app.errorhandler(Stopping)
    async def stopping(error: Stopping) -> Response:
        return _error(503, str(error))

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        response = _error(error.code or 500, _explain(error))
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response

    @app.errorhandler(Exception)
    async def unexpected(error: Exception) -> Response:
        _log.error("http request failed", exc_info=error)
        return _error(500, "internal error; the server's log has it under this answer's x-request-id")


def _explain(error: HTTPException) -> str:
    match error:
        case NotFound():
            return "no such path; known are /, /workflows, /workflows/<name>, /reactors and /reactors/<name>"
        case MethodNotAllowed():
            return f"this path takes {', '.join(sorted(error.valid_methods or ()))}"
        case RequestEntityTooLarge():
            return f"the body is larger than {MAX_BODY_BYTES} bytes"
        case RequestTimeout():
            return f"the body did not arrive within {BODY_TIMEOUT_SECONDS} s"
    return error.description or error.name


def _error(status: int, message: str) -> Response:
    return _json(status, error_json(message))


def _json(status: int, content: Json) -> Response:
    return _respond(status, json.dumps(content) + "\n", "application/json")


def _text(status: int, content: str) -> Response:
    return _respond(status, content, "text/plain; charset=utf-8")


def _respond(status: int, content: str, content_type: str) -> Response:
    response = Response(content, status=status, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
