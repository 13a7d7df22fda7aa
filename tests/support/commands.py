"""Commands of the client in tests: in this process, through the API of a harness or a scripted one, or as processes."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import trio
from attrs import define, frozen
from click.testing import CliRunner

from mmids_trio.__main__ import main
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.http import HttpClient

CLEAN = {name: None for name in ("MMIDS_SERVER", "MMIDS_TOKEN", "MMIDS_JSON", "FORCE_COLOR", "CLICOLOR_FORCE")}
"""What the environment of the tests must not say."""


@frozen
class Result:
    """How a command ended. Of a `--json` command `out` is one document, `document` reads it."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


def invoke(
    *arguments: str,
    transport: httpx2.BaseTransport | None = None,
    stdin: str = "",
    environment: Mapping[str, str | None] | None = None,
) -> Result:
    """Run a command in this process. Whatever it raises, but for its exit, comes out."""
    done = CliRunner(env={**CLEAN, **(environment or {})}).invoke(
        main, list(arguments), input=stdin, obj=transport, catch_exceptions=False
    )
    return Result(done.exit_code, done.stdout, done.stderr)


def scripted(handler: Callable[[httpx2.Request], httpx2.Response]) -> httpx2.MockTransport:
    """A server of which every answer is made by `handler`."""
    return httpx2.MockTransport(handler)


@define
class _Bridge(httpx2.BaseTransport):
    """Carries requests from the thread of a command to the application."""

    _http: HttpClient

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """As a socket would."""
        return trio.from_thread.run(self._ask, request)

    async def _ask(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = await self._http.request(request.method, path, content=request.read(), headers=headers)
        return httpx2.Response(answer.status, headers=dict(answer.headers), content=answer.content, request=request)


async def command(http: HttpClient, *arguments: str, stdin: str = "") -> Result:
    """Run a command against the API of a harness, which goes on meanwhile. Never under `autojump_clock`."""

    def run() -> Result:
        return invoke(*arguments, transport=_Bridge(http), stdin=stdin)

    return await trio.to_thread.run_sync(run)


async def run(harness: Harness, *arguments: str, stdin: str = "", status: int = 0) -> Result:
    """A command that ends with this status."""
    done = await command(harness.http, *arguments, stdin=stdin)
    assert done.status == status, done
    return done


def as_process(*arguments: str) -> list[str]:
    """The command line of a client in a process of its own."""
    return [sys.executable, "-m", "mmids_trio", *arguments]
