"""The executor `simple_http`: one POST to a web service, whose answer is text in the configuration language.

Apart from the other executors as each speaks a protocol of its own.  Everything is bounded: the time of a
request as a whole, redirects, and what is read of a body.  No proxy or other setting is taken from the
environment: a lookup goes where the configuration says.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.parameters import Secret, parameter
from mmids_trio.config.parser import parse_workflows_in_turns
from mmids_trio.errors import ConfigurationError
from mmids_trio.late import late
from mmids_trio.reactors.body import bounded_body
from mmids_trio.reactors.executor import Answer, ExecutorFailure, ExecutorKind, describe
from mmids_trio.stream_request import StreamRequest
from mmids_trio.turns import in_turns

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = late("httpx2")

T = TypeVar("T")

REQUEST_SECONDS = 10
"""How long one request may take, with its redirects and the whole body."""

MAX_REDIRECTS = 3
"""Redirects that are followed: to HTTPS, to another host, and one to spare."""

MAX_ANSWER_BYTES = 1024 * 1024
"""Largest body that is read, as for the API's PUT; a workflow of a thousand steps is about 100 kB."""

KEPT_CONNECTIONS = 20
"""Connections that are kept for the next questions."""

DRAIN_SECONDS = 1
"""How long the body of a 404 may take; opening another connection costs less."""

ANSWER_FILE = "<answer>"
"""Stands for the file name in messages about a body."""

_SCHEMES = ("http", "https")
_LARGEST_PORT = 65_535
_SEE_OTHER = 303
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([!-~](?:[ -~]*[!-~])?)[ \t]*")
"""RFC 9110 §5.1, §5.5."""

_OWN_HEADERS = ("host", "content-type", "content-length", "transfer-encoding", "connection", "accept-encoding")
_REDIRECTS = (301, 302, _SEE_OTHER, 307, 308)


def http_url(value: str) -> httpx2.URL:
    """A parameter that is an HTTP or HTTPS URL."""
    try:
        return _parse(value)
    except ValueError as error:
        raise ValueError(f"expected an http or https URL; {error}") from None


def _parse(text: str) -> httpx2.URL:
    """Raises `ValueError` with what is wrong; never shows the URL, which may hold a password."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise ValueError("this is no URL") from None
    if url.scheme not in _SCHEMES:
        raise ValueError(f"the scheme must be one of {', '.join(_SCHEMES)}")
    if not url.host or ("%" in url.host and ":" not in url.host):
        raise ValueError("the host is missing or malformed")
    if url.port is not None and not 0 < url.port <= _LARGEST_PORT:
        raise ValueError(f"the port must be from 1 to {_LARGEST_PORT}")
    return url


@frozen
class Header:
    """One header of a request."""

    name: str
    value: Secret


def header_line(value: str) -> Header:
    """A parameter that is a header of HTTP, `NAME: VALUE`."""
    found = _HEADER.fullmatch(value)
    if found is None or found[1].lower() in _OWN_HEADERS:
        raise ValueError(f'expected "NAME: VALUE" of ASCII characters; {", ".join(_OWN_HEADERS)} are set already')
    return Header(found[1], Secret(found[2]))


@frozen
class SimpleHttp:
    """Asks one URL, over connections that are kept."""

    _client: httpx2.AsyncClient
    _parameters: SimpleHttpParameters

    async def ask(self, request: StreamRequest) -> Answer:
        """See `Executor.ask`."""
        return await self._post(self._parameters.url, request, _understand)

    async def release(self, request: StreamRequest) -> None:
        """See `Executor.release`; nobody is told where nobody is named."""
        await trio.lowlevel.checkpoint()
        if self._parameters.release_url is not None:
            await self._post(self._parameters.release_url, request, _accept)

    async def _post(
        self, url: httpx2.URL, about: StreamRequest, understand: Callable[[httpx2.Response], Awaitable[T]]
    ) -> T:
        try:
            with trio.fail_after(REQUEST_SECONDS):
                return await self._send(url, about, understand)
        except trio.TooSlowError:
            raise ExecutorFailure(f"no whole answer within {REQUEST_SECONDS} s") from None
        except UnicodeEncodeError:  # publishers choose names, and need not choose text
            raise ExecutorFailure("the stream's name is not UTF-8, so no service can be asked about it") from None
        except httpx2.HTTPError as error:
            raise ExecutorFailure(f"the request failed: {str(error) or type(error).__name__}") from error
        finally:
            self._client.cookies.clear()  # streams have nothing to tell each other

    async def _send(
        self, url: httpx2.URL, about: StreamRequest, understand: Callable[[httpx2.Response], Awaitable[T]]
    ) -> T:
        request = self._client.build_request("POST", url, json=about.as_data(), headers=self._headers(url, url))
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code not in _REDIRECTS:
                    return await understand(response)
                request = self._redirected(url, request, response)
            finally:
                await response.aclose()
        raise ExecutorFailure(f"more than {MAX_REDIRECTS} redirects")

    def _headers(self, asked: httpx2.URL, url: httpx2.URL) -> dict[str, str]:
        """The configured header, for the server that was named; another one, to which that points, must not have it."""
        header = self._parameters.header
        is_same = (asked.scheme, asked.host, asked.port) == (url.scheme, url.host, url.port)
        return {header.name: header.value.text} if header is not None and is_same else {}

    def _redirected(self, asked: httpx2.URL, request: httpx2.Request, response: httpx2.Response) -> httpx2.Request:
        """The same question to where the answer points, as RFC 9110 §15.4 allows; only 303 asks for a GET."""
        try:
            url = _parse(str(request.url.join(response.headers.get("Location", ""))))
        except (ValueError, httpx2.InvalidURL) as error:
            raise ExecutorFailure(f"a redirect that cannot be followed: {error}") from None
        if response.status_code == _SEE_OTHER or request.method == "GET":
            return self._client.build_request("GET", url, headers=self._headers(asked, url))
        headers = {"Content-Type": "application/json", **self._headers(asked, url)}
        return self._client.build_request("POST", url, content=request.content, headers=headers)


async def _understand(response: httpx2.Response) -> Answer:
    match response.status_code:
        case httpx2.codes.OK:
            return await _read(await _body(response))
        case httpx2.codes.NOT_FOUND:
            await _drain(response)
            return Answer(valid=False)
        case other:
            raise ExecutorFailure(f"expected status 200 or 404, got {other}")


async def _accept(response: httpx2.Response) -> None:
    await _drain(response)
    if not response.is_success:
        raise ExecutorFailure(f"expected a status from 200 to 299, got {response.status_code}")


async def _body(response: httpx2.Response) -> bytes:
    body = await bounded_body(response, MAX_ANSWER_BYTES)
    if body is None:
        raise ExecutorFailure(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return body


async def _drain(response: httpx2.Response) -> None:
    """Read what does not matter, so that the connection can be used again; not for long."""
    with trio.move_on_after(DRAIN_SECONDS), suppress(ExecutorFailure, httpx2.HTTPError):
        await _body(response)


async def _read(body: bytes) -> Answer:
    try:
        return Answer(True, await in_turns(parse_workflows_in_turns(decode(body, ANSWER_FILE), ANSWER_FILE)))
    except ConfigurationError as error:
        raise ExecutorFailure(describe(error)) from None


@frozen
class SimpleHttpParameters:
    """Of `simple_http`. `release_url`: who is told when a stream is not used any more."""

    url: httpx2.URL = parameter(http_url)
    release_url: httpx2.URL | None = parameter(http_url, default=None)
    header: Header | None = parameter(header_line, default=None, secret=True)


@asynccontextmanager
async def open_simple_http(parameters: SimpleHttpParameters) -> AsyncIterator[SimpleHttp]:
    """One client, kept open: a new one costs 66 ms, and connections are used again.

    It bounds no connections: what waits for one in there would be taken for a slow service. `line` bounds questions.
    """
    async with httpx2.AsyncClient(
        trust_env=False,
        timeout=None,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
    ) as client:
        yield SimpleHttp(client, parameters)


def load_client() -> None:
    """Import what a client is made of; httpx2 itself does so with the first one."""
    import_module("httpx2")
    import_module("httpcore2")


SIMPLE_HTTP = ExecutorKind("simple_http", SimpleHttpParameters, open_simple_http, load=load_client)
