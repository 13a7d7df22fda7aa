"""How many connections there may be, and that strangers never keep out who has the token."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.config.settings import Settings
from mmids_trio.http_api import server
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.server import ConnectionLimits
from mmids_trio.rejections import RejectCounters
from mmids_trio.server.building import api_connections, connections_that_leave_files

MOST = 32
STRANGERS, KEPT = 8, 2
HOST = b"Host: localhost\r\n"
WITH_TOKEN = b"GET /workflows HTTP/1.1\r\n" + HOST + b"Authorization: Bearer s3cret\r\n\r\n"
WITHOUT = b"GET /workflows HTTP/1.1\r\n" + HOST + b"\r\n"
HEALTH = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"

Connect = Callable[..., Awaitable[trio.SocketStream]]


@pytest.fixture
async def connect(serve_app: Any, workflows: Any, rejections: RejectCounters) -> AsyncIterator[Connect]:
    """Connects to an API with a token and `MOST` connections; what comes of the first request is read."""
    app = create_app(workflows, workflows, token="s3cret", version="1", rejections=rejections)
    served = await serve_app(app, limits=ConnectionLimits(MOST, lambda: True))
    clients: list[trio.SocketStream] = []

    async def start(sent: bytes = b"", status: bytes = b"") -> trio.SocketStream:
        client: trio.SocketStream = await served.connect(sent)
        clients.append(client)
        if status:
            assert await answer_to(client) == status
        else:
            await wait_all_tasks_blocked(0.01)
        return client

    yield start
    for client in clients:
        await client.aclose()


async def answer_to(client: trio.SocketStream, request: bytes = b"") -> bytes:
    """The status of one answer, which is read to its end."""
    await client.send_all(request)
    text = b""
    while True:
        text += await client.receive_some()
        head, end, body = text.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and length is not None and len(body) == int(length[1]):
            return head.split(b" ")[1]


async def is_closed(client: trio.SocketStream) -> bool:
    with trio.move_on_after(0.05):
        try:
            return await client.receive_some() == b""
        except trio.BrokenResourceError:
            return True
    return False


def test_the_shares_are_those_of_the_page() -> None:
    limits = ConnectionLimits(server.MAX_CONNECTIONS)
    assert (limits.most, limits.strangers, limits.kept) == (256, 64, 16)
    assert Settings().api_max_connections == server.MAX_CONNECTIONS


@pytest.mark.thorough
async def test_who_has_the_token_gets_in_whatever_strangers_do(connect: Connect, rejections: RejectCounters) -> None:
    strangers = [await connect(sent) for sent in (b"", WITHOUT, HEALTH, b"GET ") * MOST]
    for _ in range(3):
        await connect(WITH_TOKEN, b"200")
    still_open = len(strangers) - rejections["api_connections_beyond_limit"]
    assert still_open <= STRANGERS + KEPT
    assert not await is_closed(strangers[0])  # who was there first is left alone
    assert await is_closed(strangers[STRANGERS])


@pytest.mark.thorough
async def test_who_has_shown_the_token_is_no_stranger(connect: Connect, rejections: RejectCounters) -> None:
    known = [await connect(WITH_TOKEN, b"200") for _ in range(MOST)]
    assert rejections.raised() == {}
    assert await is_closed(await connect())  # now there is no place at all
    assert rejections.raised() == {"api_connections_beyond_limit": 1}
    for client in known:
        assert await answer_to(client, WITH_TOKEN) == b"200"


async def test_a_kept_place_is_for_a_short_time_unless_the_token_is_shown(
    mock_clock: MockClock, connect: Connect
) -> None:
    usual = [await connect(HEALTH, b"200") for _ in range(STRANGERS)]
    stranger, known = await connect(WITHOUT, b"401"), await connect(WITH_TOKEN, b"200")
    mock_clock.jump(server.PROVING_SECONDS)
    assert await stranger.receive_some() == b""
    await wait_all_tasks_blocked(0.01)
    for client in (known, usual[0]):
        assert await answer_to(client, HEALTH) == b"200"


@pytest.mark.thorough
async def test_without_a_token_everybody_may_have_all_connections(serve_app: Any, workflows: Any) -> None:
    served = await serve_app(create_app(workflows, workflows, token=None, version="1"), limits=ConnectionLimits(MOST))
    clients = [await served.connect(HEALTH) for _ in range(MOST)]
    for client in clients:
        assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
    refused = await served.connect()
    assert await is_closed(refused)
    for client in (*clients, refused):
        await client.aclose()


@pytest.mark.parametrize(
    ("files", "settings", "api", "rtmp"),
    [
        (1024, Settings(), 0, 924),
        (1024, Settings(http_api_port=0), 256, 668),
        (1024, Settings(http_api_port=0, api_max_connections=10), 10, 914),
        (220, Settings(http_api_port=0), 55, 110),
    ],
)
def test_the_api_and_rtmp_have_descriptors_of_their_own(
    monkeypatch: pytest.MonkeyPatch, files: int, settings: Settings, api: int, rtmp: int
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))
    assert (api_connections(settings), connections_that_leave_files(settings)) == (api, rtmp)
    assert api + rtmp < files
