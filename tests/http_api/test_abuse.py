"""Hostile clients of the API, one kind a test: cut off by a limit and counted, while everybody else is served.

Clients are real loopback sockets; deadlines are reached by moving a mock clock, as in `test_stopping`.
"""

from typing import Any

import httpx2
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.http_api import connection, routing
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.server import ConnectionLimits
from mmids_trio.rejections import RejectCounters

HANG_SECONDS = 10
HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
PUT = b"PUT /workflows HTTP/1.1\r\n" + HOST


async def assert_others_are_served(served: Any) -> None:
    client = await served.connect(GET)
    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
    await client.aclose()


async def end_of(client: trio.SocketStream) -> bytes:
    """All that still comes."""
    try:
        return b"".join([bytes(piece) async for piece in client])
    except trio.BrokenResourceError:
        return b""
    finally:
        await client.aclose()


async def test_a_body_that_never_ends_is_answered_when_its_time_is_up(
    mock_clock: MockClock, served: Any, rejections: RejectCounters
) -> None:
    client = await served.connect(PUT + b"Content-Length: 1000\r\n\r\nworkflow")
    await wait_all_tasks_blocked(0.05)
    await assert_others_are_served(served)
    mock_clock.jump(connection.BODY_STALL_SECONDS)
    assert (await end_of(client)).startswith(b"HTTP/1.1 408 ")
    assert rejections.raised() == {"api_body_too_slow": 1}


async def test_a_body_that_drips_in_is_answered_when_its_time_is_up(
    mock_clock: MockClock, served: Any, rejections: RejectCounters
) -> None:
    client = await served.connect(PUT + b"Content-Length: 1000\r\n\r\n")
    for _ in range(int(routing.BODY_TIMEOUT_SECONDS)):
        await client.send_all(b"#")
        await wait_all_tasks_blocked(0.01)
        assert rejections.raised() == {}
        mock_clock.jump(1)
    assert (await end_of(client)).startswith(b"HTTP/1.1 408 ")
    assert rejections.raised() == {"api_body_too_slow": 1}


@pytest.mark.parametrize(
    "head",
    [
        PUT + b"Content-Length: 1000\r\n\r\n",
        PUT + b"Transfer-Encoding: chunked\r\n\r\n3\r\n#",
        b"POST /workflows/w/steps/1/switch HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"DELETE /workflows/w HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n",
        PUT + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n",
    ],
)
async def test_a_body_without_progress_ends_its_connection_on_every_route(
    mock_clock: MockClock, served: Any, workflows: Any, rejections: RejectCounters, head: bytes
) -> None:
    workflows.may_stop = trio.Event()
    client = await served.connect(head)
    await wait_all_tasks_blocked(0.05)
    mock_clock.jump(connection.BODY_STALL_SECONDS)
    answer = await end_of(client)
    assert b"HTTP/1.1 408 " in answer
    assert b"x-request-id: " in answer
    assert rejections.raised() == {"api_body_too_slow": 1}


async def test_a_client_is_not_late_while_the_server_takes_its_time(
    mock_clock: MockClock, served: Any, workflows: Any, rejections: RejectCounters
) -> None:
    workflows.may_stop = trio.Event()
    client = await served.connect(b"DELETE /workflows/w HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\n\r\n##")
    await wait_all_tasks_blocked(0.05)
    await client.send_all(b"##")
    await wait_all_tasks_blocked(0.05)
    mock_clock.jump(connection.BODY_STALL_SECONDS * 5)
    await wait_all_tasks_blocked(0.05)
    workflows.may_stop.set()
    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
    assert rejections.raised() == {}
    await client.aclose()


async def test_a_body_that_goes_on_and_on_is_answered_when_it_is_too_large(
    served: Any, rejections: RejectCounters
) -> None:
    client = await served.connect(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
    with trio.fail_after(HANG_SECONDS):
        for _ in range(2 * routing.MAX_BODY_BYTES // 0x8000):
            try:
                await client.send_all(b"8000\r\n" + bytes(0x8000) + b"\r\n")
            except trio.BrokenResourceError:
                break
        assert (await end_of(client)).startswith(b"HTTP/1.1 413 ")
    assert rejections["api_body_too_large"] == 1
    await assert_others_are_served(served)


async def test_an_early_answer_waits_for_who_still_sends_its_body_but_not_for_ever(
    mock_clock: MockClock, served: Any, rejections: RejectCounters
) -> None:
    head = PUT + b"Content-Length: 100000000\r\n\r\n"
    patient, endless = await served.connect(head), await served.connect(head)
    pause = connection.LINGER_SECONDS * 0.9
    for _ in range(5):  # far longer than one pause may be
        await wait_all_tasks_blocked(0.01)
        await patient.send_all(b"#")
        mock_clock.jump(pause)
    assert (await end_of(patient)).startswith(b"HTTP/1.1 413 ")

    async def send_on() -> None:
        for _ in range(int(connection.MAX_LINGER_SECONDS / pause) + 2):
            await endless.send_all(b"#")
            await wait_all_tasks_blocked(0.01)
            mock_clock.jump(pause)

    with pytest.raises(trio.BrokenResourceError):
        await send_on()
    await endless.aclose()
    assert rejections["api_body_too_large"] == 2


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(10_000)),
        b"GET /" + b"x" * 100_000,
    ],
    ids=["one header", "many headers", "path"],
)
async def test_a_flood_of_headers_is_a_431(served: Any, rejections: RejectCounters, head: bytes) -> None:
    client = await served.connect()
    await client.send_all(head)
    with trio.fail_after(HANG_SECONDS):
        assert (await client.receive_some()).startswith(b"HTTP/1.1 431 ")
    assert rejections.raised() == {"api_head_too_large": 1}
    await assert_others_are_served(served)
    await client.aclose()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
async def test_who_never_finishes_a_head_is_let_go(
    mock_clock: MockClock, served: Any, rejections: RejectCounters, sent: bytes
) -> None:
    client = await served.connect(sent)
    await wait_all_tasks_blocked(0.05)
    mock_clock.jump(connection.KEEP_ALIVE_SECONDS)
    await end_of(client)
    assert rejections.raised() == {"api_idle_or_head_too_slow": 1}


async def test_a_head_that_drips_in_has_no_longer(
    mock_clock: MockClock, served: Any, rejections: RejectCounters
) -> None:
    client = await served.connect(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(int(connection.KEEP_ALIVE_SECONDS)):
        await wait_all_tasks_blocked(0.001)
        mock_clock.jump(1)
        try:
            await client.send_all(b"x")
        except trio.BrokenResourceError:
            break
    await end_of(client)
    assert rejections.raised() == {"api_idle_or_head_too_slow": 1}


async def test_more_connections_than_the_limit_are_counted(
    serve_app: Any, workflows: Any, rejections: RejectCounters
) -> None:
    served = await serve_app(create_app(workflows, workflows, token=None, version="1"), limits=ConnectionLimits(1))
    first, second = await served.connect(GET), await served.connect()
    assert await second.receive_some() == b""
    assert (await first.receive_some()).startswith(b"HTTP/1.1 200 ")
    assert rejections.raised() == {"api_connections_beyond_limit": 1}
    await first.aclose()
    await second.aclose()


async def test_what_is_no_http_is_counted(served: Any, rejections: RejectCounters) -> None:
    await end_of(await served.connect(b"\x03" + bytes(1536) + b"\r\n\r\n"))
    assert rejections.raised() == {"api_protocol_broken": 1}


async def test_who_has_no_right_to_ask_is_counted(guarded: httpx2.AsyncClient, rejections: RejectCounters) -> None:
    await guarded.get("/workflows")
    await guarded.get("/workflows", headers={"Authorization": "Bearer guess"})
    await guarded.get("/workflows", headers={"Authorization": "Bearer s3cret", "Origin": "http://evil.example"})
    assert rejections.raised() == {"api_token_wrong": 2, "api_foreign_request": 1}
