"""Asking a web service: one bounded request at a time for each question, and who may ask how much.

What is asked of services that let clients in, and of those that have public keys: nothing is taken from the
environment, no redirect is followed, a body is read up to its bound.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from mmids_trio.late import late
from mmids_trio.reactors.body import bounded_body

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = late("httpx2")

SECONDS = 5.0
"""For one request as a whole."""

MAX_BODY = 256 * 1024
"""Bytes of an answer; key sets of providers have some thousand."""

KEPT_CONNECTIONS = 20

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})", re.IGNORECASE)


class NoAnswer(Exception):
    """There is none that counts; `str()` says why, and names nothing of the URL."""


@frozen
class Answer:
    """A status and a body, and how many seconds it may be kept."""

    status: int
    body: bytes
    max_age: int


@define(eq=False)
class WebClient:
    """Sends requests while `opened`; before and after that there is no answer.

    A client of HTTP reads the authorities of the machine, which keeps the loop for 60 ms: `prepare` has one made, so
    that a server that asks nobody starts without it and no client waits for it.
    """

    transport: "httpx2.AsyncBaseTransport | None" = None
    """In place of the network, for tests."""
    _client: "httpx2.AsyncClient | None" = field(default=None, init=False)
    _is_open: bool = field(default=False, init=False)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """As long as the block runs."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            client, self._client = self._client, None
            if client is not None:
                await client.aclose()

    def prepare(self) -> "httpx2.AsyncClient":
        """Somebody is going to be asked."""
        if self._client is None:
            self._client = httpx2.AsyncClient(
                trust_env=False,
                transport=self.transport,
                timeout=None,
                follow_redirects=False,
                headers={"Accept-Encoding": "identity"},
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
            )
        return self._client

    async def ask(self, url: str, question: object = None) -> Answer:
        """POST the question as JSON; a GET without one. Raises `NoAnswer`."""
        if not self._is_open:
            raise NoAnswer("the server is being stopped")
        client = self.prepare()
        try:
            with trio.fail_after(SECONDS):
                return await _ask(client, url, question)
        except trio.TooSlowError:
            raise NoAnswer(f"no answer within {SECONDS:.0f} s") from None
        except NoAnswer:
            raise
        except Exception as error:  # whatever a client library raises must not end the server
            raise NoAnswer(f"the request failed: {type(error).__name__}") from None
        finally:
            client.cookies.clear()


async def _ask(client: "httpx2.AsyncClient", url: str, question: object) -> Answer:
    request = client.build_request("GET", url) if question is None else client.build_request("POST", url, json=question)
    response = await client.send(request, stream=True)
    try:
        body = await bounded_body(response, MAX_BODY)
    finally:
        await response.aclose()
    if body is None:
        raise NoAnswer(f"the answer has more than {MAX_BODY} bytes")
    return Answer(response.status_code, body, _max_age(response.headers.get("Cache-Control", "")))


def _max_age(cache_control: str) -> int:
    """RFC 9111 §5.2.2; 0 where it may not be kept."""
    if "no-store" in cache_control.lower() or "no-cache" in cache_control.lower():
        return 0
    found = _MAX_AGE.search(cache_control)
    return 0 if found is None else int(found[1])
