"""How paths become handlers: routes by path alone, names with anything in them, and bodies of bounded size.

A handler is added together with the `Operation` that describes it, so that the document at `/openapi.json` and the
routes cannot drift apart.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import define, field
from quart import Response, request
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.routing import BaseConverter, MapAdapter

from mmids_trio.config.names import STEP_PATH
from mmids_trio.config.suggestions import shown
from mmids_trio.http_api.operation import Operation
from mmids_trio.http_api.options import check_known
from mmids_trio.http_api.refusals import UnreadableEncoding

MAX_BODY_BYTES = 1024 * 1024
"""Largest body of a request that is about one workflow; a workflow of a thousand steps is about 100 kB."""

MAX_CONFIG_BYTES = 16 * 1024 * 1024
"""Largest body of a request that is about everything: a hundred thousand workflows of two steps."""

BODY_TIMEOUT_SECONDS = 30
"""How long a body may take; 1 MiB in 30 s is slower than any link that video goes over."""

CONFIG_PATH, FLEET_PATH = "/config", "/cluster/config"
"""What is below them takes the larger bodies."""

REQUEST_FILE = "<request>"
"""Stands for the file name in messages about a body."""

GZIP = b"\x1f\x8b"
"""How it begins (RFC 1952 §2.3.1)."""

Handler = Callable[..., Awaitable[Response]]


def max_body_bytes(path: str) -> int:
    """The largest body that a path takes."""
    is_large = any(path == start or path.startswith(start + "/") for start in (CONFIG_PATH, FLEET_PATH))
    return MAX_CONFIG_BYTES if is_large else MAX_BODY_BYTES


class ApiRequest(TrioRequest):
    """A request whose body may be as large as its path says."""

    def __init__(self, method: str, scheme: str, path: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(method, scheme, path, *args, **{**kwargs, "max_content_length": max_body_bytes(path)})


class Api(QuartTrio):
    """Routes by path alone: whether a `Host` will do is for `safety` to say."""

    request_class = ApiRequest

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Bind the routes to a request, without the `Host` that Quart would parse (and refuse)."""
        if request is None:
            return None
        return self.url_map.bind("localhost", default_method=request.method, path_info=request.path)


async def request_body() -> bytes:
    """The body of the current request as it came, whatever type it claims (never read as a form)."""
    data: bytes = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    check_encoding(request.headers.get("Content-Encoding"), data)
    return data


def check_encoding(named: str | None, body: bytes) -> None:
    """Raises `UnreadableEncoding` for a body that is compressed, by its header or by its first bytes.

    A small one may become gigabytes; nothing that is sent here is large enough to be worth that.
    """
    encodings = [word.strip(" \t").lower() for word in (named or "").split(",")]
    if foreign := [word for word in encodings if word not in ("", "identity")]:
        raise UnreadableEncoding(f"unexpected Content-Encoding {shown(foreign[0])}; expected a body as it is, or none")
    if body.startswith(GZIP):
        raise UnreadableEncoding("the body is compressed with gzip; expected it as it is")


def request_query() -> dict[str, list[str]]:
    """The query parameters of the current request, each with all its values."""
    return request.args.to_dict(flat=False)


class NameConverter(BaseConverter):
    """Any name, also one with slashes in it."""

    regex = rf"(?:(?!{STEP_PATH}$)[\s\S])+"
    part_isolating = False


class IdConverter(BaseConverter):
    """An id that the server has given: what stands behind a slash is another path."""

    regex = r"[^/]+"


def create_api() -> Api:
    """An application without routes."""
    api = Api("mmids_trio.http_api", static_folder=None)
    api.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        BODY_TIMEOUT=BODY_TIMEOUT_SECONDS,
        RESPONSE_TIMEOUT=None,  # every piece of a response has its deadline in the connection
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    api.url_map.merge_slashes = False
    api.url_map.converters.update(any_name=NameConverter, id=IdConverter)
    return api


def _with_known_options(handler: Handler, options: Sequence[str]) -> Handler:
    async def checked(**arguments: str) -> Response:
        for name in request.args:
            check_known(name, options)
        return await handler(**arguments)

    return checked


@define
class Routes:
    """Adds handlers to an application, and remembers what they do."""

    _api: Api
    operations: list[Operation] = field(factory=list, init=False)

    def add(self, operation: Operation) -> Callable[[Handler], Handler]:
        """Decorates the handler of `operation`; a `{name}` in its path becomes the handler's argument.

        What changes something refuses an option that it has not, and does nothing; a GET ignores it.
        """
        options = [each.name for each in operation.parameters if each.where == "query"]

        def register(handler: Handler) -> Handler:
            rule = operation.path.replace("{id}", "<id:id>").replace("{", "<any_name:").replace("}", ">")
            checked = handler if operation.method == "GET" else _with_known_options(handler, options)
            self._api.add_url_rule(rule, operation.operation_id, checked, methods=[operation.method])
            self.operations.append(operation)
            return handler

        return register
