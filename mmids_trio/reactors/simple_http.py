"""The executor `simple_http`: one POST to a web service, whose answer is text in the configuration language.

Apart from the other executors as each speaks a protocol of its own.  Everything is bounded: the time of a
request as a whole, redirects, and what is read of a body.  No proxy or other setting is taken from the
environment: a lookup goes where the configuration says.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import trio
from attrs import frozen

from mmids_trio.config.encoding import decode
from mmids_trio.config.parameters import parameter
from mmids_trio.config.parser import parse_workflows_in_turns
from mmids_trio.errors import ConfigurationError
from mmids_trio.reactors.executor import Answer, ExecutorFailure, ExecutorKind, describe
from mmids_trio.turns import in_turns

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
class SimpleHttp:
    """Asks one URL, over connections that are kept."""

    _client: httpx2.AsyncClient
    _url: httpx2.URL

    async def ask(self, stream_name: str) -> Answer:
        """See `Executor.ask`."""
        try:
            with trio.fail_after(REQUEST_SECONDS):
                return await self._ask(stream_name)
        except trio.TooSlowError:
            raise ExecutorFailure(f"no whole answer within {REQUEST_SECONDS} s") from None
        except UnicodeEncodeError:  # publishers choose names, and need not choose text
            raise ExecutorFailure("the stream's name is not UTF-8, so no service can be asked about it") from None
        except httpx2.HTTPError as error:
            raise ExecutorFailure(f"the request failed: {str(error) or type(error).__name__}") from error
        finally:
            self._client.cookies.clear()  # streams have nothing to tell each other

    async def _ask(self, stream_name: str) -> Answer:
        request = self._client.build_request("POST", self._url, json={"stream_name": stream_name})
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(request, stream=True)
            try:
                if response.status_code not in _REDIRECTS:
                    return await _understand(response)
                request = self._redirected(request, response)
            finally:
                await response.aclose()
        raise ExecutorFailure(f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, request: httpx2.Request, response: httpx2.Response) -> httpx2.Request:
        """The same question to where the answer points, as RFC 9110 §15.4 allows; only 303 asks for a GET."""
        try:
            url = _parse(str(request.url.join(response.headers.get("Location", ""))))
        except (ValueError, httpx2.InvalidURL) as error:
            raise ExecutorFailure(f"a redirect that cannot be followed: {error}") from None
        if response.status_code == _SEE_OTHER or request.method == "GET":
            return self._client.build_request("GET", url)
        headers = {"Content-Type": "application/json"}
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


async def _body(response: httpx2.Response) -> bytes:
    """The body as it was sent: unpacking what was not asked for could fill the memory."""
    body = bytearray()
    with trio.CancelScope() as reading:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                reading.cancel()  # leaving the loop would leave generators behind that nobody closes
    if len(body) > MAX_ANSWER_BYTES:
        raise ExecutorFailure(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


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
    """Of `simple_http`."""

    url: httpx2.URL = parameter(http_url)


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
        yield SimpleHttp(client, parameters.url)


SIMPLE_HTTP = ExecutorKind("simple_http", SimpleHttpParameters, open_simple_http)
