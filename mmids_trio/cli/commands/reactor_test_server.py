"""A web service for trying reactors out: it answers what files say, as `simple_http` asks for it.

`POST /<category>` with `{"stream_name": "<key>?<query>"}` answers the text of `<directory>/<category>/<key>.mmids`.
Apart from the HTTP API, with which it shares how connections are served, as it is a program of its own.
"""

import hmac
import json
import signal
import sys
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import click
import structlog
import trio
from attrs import frozen
from quart import Response, request
from quart_trio import QuartTrio

from mmids_trio.errors import MmidsError, leaves
from mmids_trio.http_api.listening import bind, port_of
from mmids_trio.http_api.server import serve
from mmids_trio.rtmp.protocol.requests import parse_query

log = structlog.get_logger()

DEFAULT_PORT = 9055
DEFAULT_DIRECTORY = "workflows"
HOST = "127.0.0.1"
"""It is for tests: nobody else gets to read files."""

MAX_QUESTION_BYTES = 64 * 1024
"""A question is a stream name, which RTMP bounds at 64 KiB."""

SUFFIX = ".mmids"


@frozen
class Question:
    """What a reactor wants to know. `query`: what stood behind the `?`; nobody is shown it."""

    key: str
    query: str
    action: str | None

    def knows(self, secret: str) -> bool:
        """Whether its query has the secret. Watchers of one key are asked about together, without a query."""
        if self.action == "watch" and not self.query:
            return True
        given = parse_query(self.query).parameters.get("secret", "")
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))


def create_app(directory: Path, secret: str | None = None) -> QuartTrio:
    """The service over the files below `directory`, which are read anew for each request.

    With a `secret`, streams are valid only for who adds `?secret=` to the key.
    """
    app = QuartTrio(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_QUESTION_BYTES
    app.url_map.merge_slashes = False

    @app.post("/<path:category>")
    async def answer(category: str) -> Response:
        question = _question(await request.get_data(as_text=False))
        if question is None:
            return _refuse('expected JSON, {"stream_name": "..."}')
        name = question.key
        if not _is_plain(category) or not _is_plain(name + SUFFIX):
            return _refuse("expected a category and a stream name that are plain names")
        knows_secret = secret is None or question.knows(secret)
        text = await _read(directory / category / (name + SUFFIX)) if knows_secret else None
        log.info("asked", category=category, stream=name, action=question.action, valid=text is not None)
        if text is None:
            return _text(HTTPStatus.NOT_FOUND, b"no workflows for this stream\n")
        return _text(HTTPStatus.OK, text)

    return app


def _question(body: str | bytes) -> Question | None:
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        return None
    name = question.get("stream_name") if isinstance(question, dict) else None
    if not isinstance(name, str):
        return None
    key, _, query = name.partition("?")
    action = question.get("action")
    return Question(key, query, action if isinstance(action, str) else None)


def _is_plain(name: str) -> bool:
    """Whether a name names something in a directory, and nothing elsewhere, on every platform."""
    return name not in ("", ".", "..", SUFFIX) and name.isprintable() and not set(name) & set('/\\:*?"<>|')


async def _read(path: Path) -> bytes | None:
    """What a file holds; `None` where there is none."""
    try:
        return await trio.Path(path).read_bytes()
    except OSError:
        return None


def _refuse(message: str) -> Response:
    return _text(HTTPStatus.BAD_REQUEST, f"{message}\n".encode())


def _text(status: HTTPStatus, content: bytes) -> Response:
    return Response(content, status=status, content_type="text/plain; charset=utf-8")


async def serve_workflows(
    directory: Path,
    port: int,
    *,
    secret: str | None = None,
    shutdown: trio.Event,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown` is set or cancelled; `started` gets the port (any free one for 0).

    Raises `CannotListen` (a `MmidsError`) where the port is taken.
    """
    listeners = await bind(HOST, port)
    task_status.started(port_of(listeners))
    await serve(create_app(directory, secret), listeners, shutdown=shutdown)


async def run_until_signal(directory: Path, port: int, tell: Callable[[str], None], secret: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM; `tell` gets a line with the address once the port is open."""
    shutdown = trio.Event()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def start(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
                await serve_workflows(directory, port, secret=secret, shutdown=shutdown, task_status=task_status)

            bound = await nursery.start(start)
            tell(
                f"reactor test server: POST http://{HOST}:{bound}/CATEGORY answers {directory}/CATEGORY/STREAM{SUFFIX}"
            )
            async for _ in signals:
                shutdown.set()
                break


@click.command("reactor-test-server")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port to open.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_DIRECTORY),
    show_default=True,
    help="Directory of the answers, which are CATEGORY/STREAM.mmids.",
)
@click.option("--secret", metavar="SECRET", help="Streams are valid only with ?secret=SECRET behind the key.")
def reactor_test_server(port: int, directory: Path, secret: str | None) -> None:
    """Answer the questions of simple_http reactors from files, so that you can try reactors out."""
    status = 0
    try:
        trio.run(run_until_signal, directory, port, click.echo, secret)
    except* MmidsError as group:
        status = 1
        for error in leaves(group):
            click.echo(f"error: {error}", err=True)
    sys.exit(status)
