"""What all commands of the client share: options, the connection, one wall for what goes wrong, and what is printed.

That is text for people (with colours on a terminal), or one JSON document for machines.
"""

import json
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from ipaddress import ip_address
from typing import Any

import click
import httpx2
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from mmids_trio.cli.client.api import ApiClient
from mmids_trio.cli.client.failures import ClientError
from mmids_trio.cli.client.plans import PlanLine
from mmids_trio.cli.common_options import CommonOption, json_option
from mmids_trio.errors import MmidsError


@define
class CommandOutput:
    """Results go to stdout, progress and errors to stderr."""

    as_json: bool
    _out: Console = field(factory=lambda: _console(stderr=False), init=False)
    _err: Console = field(factory=lambda: _console(stderr=True), init=False)

    def show(self, lines: Iterable[PlanLine]) -> None:
        """Lines for people."""
        if self.as_json:
            return
        for line in lines:
            text = Text(line.text, line.style)
            if line.note:
                text.append("   ").append(line.note, line.note_style)
            self._out.print(text)

    def say(self, text: str, style: str = "") -> None:
        """One line for people."""
        self.show([PlanLine(text, style)])

    def raw(self, text: str) -> None:
        """Text as it is, for people and machines."""
        click.echo(text, nl=False)

    def document(self, value: Any) -> None:
        """The result for machines."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False))

    def warn(self, text: str) -> None:
        """Something that is worth a line on stderr."""
        self._err.print(Text(text, "yellow"))

    def fail(self, error: MmidsError) -> None:
        """What went wrong, for people on stderr, and for machines."""
        self._err.print(Text(f"error: {error}", "red"))
        status = error.status if isinstance(error, ClientError) else None
        problems = list(error.problems) if isinstance(error, ClientError) else []
        self.document({"error": str(error), "status": status, "problems": problems})

    def ask(self, question: str) -> bool:
        """Whether to go on; true where there is nobody to ask."""
        return not sys.stdin.isatty() or click.confirm(question, err=True)

    @contextmanager
    def working(self, what: str, total: int | None = None) -> Iterator["Work"]:
        """Something that takes a while: a display on a terminal, else a line at its start."""
        if not self._err.is_terminal or self.as_json:
            self.say(what)
            yield Work(None)
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._err, transient=True) as progress:
            progress.add_task(what, total=total)
            yield Work(progress)


@define
class Work:
    """What `working` shows."""

    _progress: Progress | None

    def step(self) -> None:
        """One of the total is done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


DEFAULT_SERVER = "http://127.0.0.1:9011"
"""The port of the examples, where the API is open to this machine alone."""

FAILED = 1


@define
class CommandSession:
    """One command at work."""

    server: str
    output: CommandOutput
    _token: str | None
    _ca: str | None
    _transport: httpx2.BaseTransport | None
    """In place of the network, for tests."""

    @contextmanager
    def api(self) -> Iterator[ApiClient]:
        """The server. Raises `ClientError` for an address or token that cannot be."""
        url = _checked_url(self.server)
        headers = [] if self._token is None else [(b"Authorization", _bearer(self._token))]
        # A proxy of the environment has no business between a machine and itself.
        with httpx2.Client(
            base_url=url,
            headers=headers,
            transport=self._transport,
            trust_env=not _is_loopback(url),
            verify=_trust(self._ca),
        ) as http:
            yield ApiClient(str(url).rstrip("/"), http)


class ClientCommand(click.Command):
    """A command of which wrong arguments have the status of any other error: with `plan`, 2 means something else."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """As usual."""
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            raise _with_status(error, FAILED) from None

    def invoke(self, ctx: click.Context) -> Any:
        """As usual; arguments that do not go together are wrong, too."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _with_status(error, FAILED) from None


def _with_status(error: click.UsageError, status: int) -> click.UsageError:
    setattr(error, "exit_code", status)  # noqa: B010  (of the class by its type, of the instance by click's own use)
    return error


def client_command(name: str) -> Callable[[Callable[..., int]], click.Command]:
    """A command with the common options; the function gets a `CommandSession`, and returns the exit status."""

    def decorate(function: Callable[..., int]) -> click.Command:
        @wraps(function)
        @click.pass_context
        def run(
            context: click.Context,
            /,
            *,
            server: str,
            token: str | None,
            ca: str | None,
            as_json: bool,
            **options: Any,
        ) -> None:
            output = CommandOutput(as_json)
            session = CommandSession(server, output, token or None, ca or None, context.find_root().obj)
            sys.exit(_status(output, lambda: function(session, **options)))

        command: Callable[..., None] = run
        for option in _OPTIONS:
            command = option(command)
        return click.command(name, cls=ClientCommand)(command)

    return decorate


_OPTIONS = (
    json_option,
    click.option(
        "--ca",
        metavar="FILE",
        envvar="MMIDS_CA",
        help="Certificates (PEM) to trust, for a server whose own no known authority has signed. [env: MMIDS_CA]",
    ),
    click.option(
        "--token",
        cls=CommonOption,
        envvar="MMIDS_TOKEN",
        help="The server's http_api_token, or a named token; others may see it here. [env: MMIDS_TOKEN]",
    ),
    click.option(
        "--server",
        cls=CommonOption,
        metavar="URL",
        envvar="MMIDS_SERVER",
        default=DEFAULT_SERVER,
        show_default=True,
        help="Address of the HTTP API; HOST:PORT will do. [env: MMIDS_SERVER]",
    ),
)


set_option = click.option(
    "--set", "of_set", metavar="NAME", help="The set that all of this belongs to, as of a team. Default: `default`."
)
take_over_option = click.option(
    "--take-over",
    is_flag=True,
    help="Allow the files to name what others have: another set, the server's own file, a reactor. It is yours then.",
)


def _status(output: CommandOutput, work: Callable[[], int]) -> int:
    """Run a command; what an operator can mend is one message, never a traceback."""
    try:
        return work()
    except ClientError as error:
        output.fail(error)
        return error.exit_status
    except MmidsError as error:
        output.fail(error)
    except KeyboardInterrupt:
        output.fail(ClientError("interrupted; the server continues a change that it has accepted"))
    return FAILED


def _checked_url(server: str) -> httpx2.URL:
    try:
        url = httpx2.URL(server if "://" in server else f"http://{server}")
    except (httpx2.InvalidURL, TypeError, ValueError):
        raise ClientError("--server: this is not a URL; expected http://HOST:PORT") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientError("--server: expected http://HOST:PORT or https://...")
    if url.userinfo or url.query or url.fragment:
        raise ClientError("--server: expected a URL without user, password and query; put a token into MMIDS_TOKEN")
    return url


def _trust(ca: str | None) -> ssl.SSLContext | bool:
    """What a server's certificate is held against; true: what the system trusts."""
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ClientError(f"--ca: '{ca}' is no file of certificates in PEM: {error.strerror or error}") from None


def _bearer(token: str) -> bytes:
    if not token.isprintable():
        raise ClientError("the token has characters that an HTTP header cannot carry")
    return f"Bearer {token}".encode()


def _is_loopback(url: httpx2.URL) -> bool:
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"
