"""One post to the web service: bounded in time, its answer not read beyond the status, redirects not followed.

Nothing of the URL but its host gets into messages: paths and queries of webhooks are secrets as a rule.
"""

import json
from collections.abc import Callable

import httpx2
import trio
from attrs import frozen

from mmids_trio.webhook.backlog import Notice
from mmids_trio.webhook.signature import signature_headers

POST_SECONDS = 10.0
"""For one post as a whole, up to the status of the answer; as for the services of reactors."""

_TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that do not last (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4)."""

_SERVER_ERRORS = 500


@frozen(eq=False)
class PostFailed(Exception):
    """A post did not arrive. `is_final`: the service does not want it, now or later."""

    reason: str
    is_final: bool = False

    def __str__(self) -> str:
        return self.reason


def render(notice: Notice, dropped: int) -> bytes:
    """The body of a post: the event's fields, and once more all of them as `data`.

    `dropped`: events that were lost since the last post that arrived.
    """
    head = {"id": notice.id, "type": notice.type, "time": notice.time, "dropped": dropped}
    if notice.count > 1:
        head["count"] = notice.count
    data = json.loads(notice.data)
    return f"{json.dumps({**head, **data, 'data': data})}\n".encode()


@frozen
class Poster:
    """Posts to `url`, over a connection that is kept. `wall_clock`: seconds since 1970."""

    client: httpx2.AsyncClient
    url: str
    secret: str | None
    wall_clock: Callable[[], float]

    async def post(self, body: bytes) -> None:
        """Returns when the service has taken it. Raises `PostFailed`."""
        try:
            with trio.fail_after(POST_SECONDS):
                status = await self._send(body)
        except trio.TooSlowError:
            raise PostFailed(f"no answer within {POST_SECONDS:.0f} s") from None
        except httpx2.InvalidURL:
            raise PostFailed("the webhook_url is no URL", is_final=True) from None
        except Exception as error:  # whatever a client library raises must not end the server
            raise PostFailed(f"the request failed: {type(error).__name__}") from None
        finally:
            self.client.cookies.clear()
        if not 200 <= status < 300:  # noqa: PLR2004  (RFC 9110 §15.3)
            raise PostFailed(f"status {status}", is_final=status < _SERVER_ERRORS and status not in _TRY_AGAIN)

    async def _send(self, body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        headers |= signature_headers(self.secret, int(self.wall_clock()), body)
        request = self.client.build_request("POST", self.url, content=body, headers=headers)
        response = await self.client.send(request, stream=True)
        try:
            return int(response.status_code)
        finally:
            await response.aclose()
