"""How the server ends: in good order within its grace, or at once, whatever its clients do.

Clients here are real loopback sockets that stop reading, send half a request, or stay idle.  Deadlines of
the server are reached by moving a mock clock; `HANG_SECONDS` (of the real clock) only turns a hang into a failure.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from attrs import define
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import connection, counts, server
from mmids_trio.http_api.app import create_app

HANG_SECONDS = 8
LARGE = 256 * 1024 * 1024
"""More than all buffers between two loopback sockets can hold."""

GET_LARGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Serve = Callable[..., Awaitable[Any]]


@define
class LargeBody:
    """Answers every request with one large body; knows whether it got rid of it."""

    began: bool = False
    sent: bool = False

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.began = True
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": False})
        self.sent = True


@pytest.fixture
async def stuck(serve_app: Serve) -> tuple[Any, trio.SocketStream]:
    """A server in the middle of a large answer to a client that does not read."""
    app = LargeBody()
    served = await serve_app(app)
    client = await served.connect(GET_LARGE)
    while not app.began:
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked(0.1)
    assert not app.sent
    return served, client


@pytest.mark.thorough
async def test_a_client_that_stops_reading_does_not_hold_up_cancellation(stuck: Any) -> None:
    served, client = stuck
    served.scope.cancel()
    with trio.fail_after(1):
        await served.ended.wait()
    await client.aclose()


@pytest.mark.thorough
async def test_a_client_that_stops_reading_holds_up_an_orderly_stop_for_its_grace_at_most(stuck: Any) -> None:
    served, client = stuck
    served.shutdown.set()
    with trio.fail_after(3):
        await served.ended.wait()
    await client.aclose()


@pytest.mark.thorough
async def test_a_client_that_stops_reading_is_disconnected_after_the_send_timeout(
    mock_clock: MockClock, stuck: Any
) -> None:
    _, client = stuck
    mock_clock.jump(counts.SEND_TIMEOUT_SECONDS + 1)
    received = 0
    with pytest.raises(trio.BrokenResourceError):  # noqa: PT012  (a reset, or an early end)
        while data := await client.receive_some():
            received += len(data)
        raise trio.BrokenResourceError
    assert received < LARGE
    await client.aclose()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: local",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["silent", "half a line", "half a head", "idle after a request"],
)
async def test_idle_and_half_sent_requests_do_not_hold_up_an_orderly_stop(
    mock_clock: MockClock, served: Any, sent: bytes
) -> None:
    client = await served.connect(sent)
    await wait_all_tasks_blocked(0.05)
    served.shutdown.set()
    await served.ended.wait()  # the clock stands still: nothing waited for a deadline
    await client.aclose()


async def test_a_half_sent_body_holds_up_an_orderly_stop_for_its_grace_at_most(
    mock_clock: MockClock, served: Any
) -> None:
    client = await served.connect(b"PUT /workflows HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nwork")
    await wait_all_tasks_blocked(0.05)
    served.shutdown.set()
    await wait_all_tasks_blocked(0.05)
    assert not served.ended.is_set()
    mock_clock.jump(server.GRACE_SECONDS)
    await served.ended.wait()
    await client.aclose()


async def test_a_request_in_progress_is_answered_before_an_orderly_stop(served: Any, workflows: Any) -> None:
    workflows.may_stop = trio.Event()
    client = await served.connect(b"DELETE /workflows/w HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while not workflows.stopped:
        await trio.lowlevel.checkpoint()
    served.shutdown.set()
    await wait_all_tasks_blocked()
    workflows.may_stop.set()
    answer = b"".join([data async for data in client])
    assert answer.startswith(b"HTTP/1.1 200 ")
    await client.aclose()
    await served.ended.wait()


async def test_nobody_is_accepted_after_the_stop_began(served: Any) -> None:
    served.shutdown.set()
    await served.ended.wait()
    with pytest.raises(OSError, match="all attempts to connect"):
        await served.connect()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["silent", "half a head", "after a request"],
)
async def test_a_connection_without_a_request_is_closed_after_the_keep_alive_time(
    mock_clock: MockClock, served: Any, sent: bytes
) -> None:
    client = await served.connect(sent)
    await wait_all_tasks_blocked(0.05)
    mock_clock.jump(connection.KEEP_ALIVE_SECONDS)
    async for _ in client:
        pass
    await client.aclose()


async def test_the_last_answer_of_a_connection_is_followed_by_its_end_at_once(
    mock_clock: MockClock, served: Any
) -> None:
    client = await served.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = b"".join([data async for data in client])  # the clock stands still: no lingering
    assert answer.startswith(b"HTTP/1.1 200 ")
    await client.aclose()


async def test_a_waiting_request_outlives_the_keep_alive_time(
    mock_clock: MockClock, served: Any, workflows: Any
) -> None:
    workflows.may_stop = trio.Event()
    client = await served.connect(b"DELETE /workflows/w HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await wait_all_tasks_blocked(0.05)
    mock_clock.jump(connection.KEEP_ALIVE_SECONDS * 5)
    await wait_all_tasks_blocked(0.05)
    workflows.may_stop.set()
    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
    await client.aclose()


async def test_a_client_that_hangs_up_ends_its_wait_and_nothing_else(served: Any, workflows: Any) -> None:
    body = b"workflow w {\n rtmp_watch\n}\n"
    head = b"PUT /workflows?wait=300 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    client = await served.connect(head + body)
    await workflows.changed.wait()
    await client.aclose()
    with trio.fail_after(HANG_SECONDS):
        while not workflows.changes[0].waits_cancelled:
            await trio.lowlevel.checkpoint()
    assert workflows.changes[0].outcome is None


async def test_more_connections_than_the_limit_are_closed(serve_app: Serve, workflows: Any) -> None:
    served = await serve_app(
        create_app(workflows, workflows, token=None, version="1"), limits=server.ConnectionLimits(2)
    )
    first, second, third = [await served.connect() for _ in range(3)]
    assert await third.receive_some() == b""
    await first.send_all(GET_LARGE)
    assert (await first.receive_some()).startswith(b"HTTP/1.1 200 ")
    await first.aclose()
    await wait_all_tasks_blocked(0.05)
    fourth = await served.connect(GET_LARGE)
    assert (await fourth.receive_some()).startswith(b"HTTP/1.1 200 ")
    for client in (second, third, fourth):
        await client.aclose()
