"""Requests in the smallest pieces: others have their turns meanwhile, and what one client may cost is bounded."""

from contextlib import suppress
from typing import Any

import h11
import pytest
import trio
from attrs import define, field

from mmids_trio.http_api import connection, routing
from mmids_trio.http_api.connection import CHUNKS_AT_ONCE
from mmids_trio.rejections import RejectCounters

HANG_SECONDS = 20
HOST = b"Host: localhost\r\n"
CHUNKED = b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
WORKFLOW = b"workflow w {\n rtmp_watch\n}\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def chunked(data: bytes, size: int = 1, extension: bytes = b"") -> bytes:
    """A chunked body."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\n"


async def answer(served: Any, data: bytes) -> bytes:
    """All that comes back, while it is sent."""
    client = await served.connect()
    received = b""
    try:
        with trio.fail_after(HANG_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, client, data)
                async for piece in client:
                    received += piece
    finally:
        await client.aclose()
    return received


async def _send(client: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # the server has heard enough
        await client.send_all(data)


@define
class Turns:
    """How much was parsed between two turns of a task that is always ready."""

    parsed: int = 0
    most: int = field(default=0)
    all: int = 0

    async def watch(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.most, self.parsed = max(self.most, self.parsed), 0


@pytest.fixture
async def turns(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> Turns:
    turns = Turns()
    next_event = h11.Connection.next_event

    def count(self: h11.Connection) -> Any:
        if self.our_role is h11.SERVER:
            turns.parsed += 1
            turns.all += 1
        return next_event(self)

    monkeypatch.setattr(h11.Connection, "next_event", count)
    nursery.start_soon(turns.watch)
    return turns


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED + chunked(b"# " + b"x" * 10_000 + b"\n" + WORKFLOW) + LAST,
        CHUNKED + chunked(b"# " + b"x" * 1_000 + b"\n" + WORKFLOW, extension=b";x=" + b"y" * 100) + LAST,
        GET * 100 + LAST,
    ],
    ids=["tiny chunks", "chunk extensions", "pipelined requests"],
)
async def test_others_have_their_turns(served: Any, turns: Turns, data: bytes) -> None:
    reply = await answer(served, data)
    assert reply.count(b"HTTP/1.1 200 ") == reply.count(b"HTTP/1.1 ") == data.count(b"HTTP/1.1")
    assert turns.all >= 100
    assert turns.most <= 3 * CHUNKS_AT_ONCE  # of two tasks that are ready one may be served twice in a row


async def test_tiny_chunks_reach_the_application_together(serve_app: Any) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not events or events[-1]["more_body"]:
            events.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    served = await serve_app(app)
    data = bytes(range(256)) * 40
    reply = await answer(served, CHUNKED[:-2] + b"Connection: close\r\n\r\n" + chunked(data))
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"".join(event["body"] for event in events) == data
    assert len(events) < len(data) / 10


async def test_a_body_in_too_many_pieces_is_a_413(
    served: Any, workflows: Any, rejections: RejectCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_CHUNKS", 1_000)
    reply = await answer(served, CHUNKED + chunked(b"#" + b"x" * 1_000 + b"\n" + WORKFLOW))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert reply.count(b"HTTP/1.1 ") == 1
    assert workflows.applied == []
    assert rejections.raised() == {"api_protocol_broken": 1}
    one_by_one = CHUNKED + chunked(b"#" + b"x" * (1_000 - len(WORKFLOW) - 2) + b"\n" + WORKFLOW)
    assert (await answer(served, one_by_one + one_by_one + LAST)).count(b"HTTP/1.1 200 ") == 3


async def test_a_chunk_extension_without_end_is_refused(served: Any, workflows: Any) -> None:
    reply = await answer(served, CHUNKED + b"1;" + b"x" * 200_000)
    assert reply.split(b" ")[1] in (b"400", b"431")
    assert workflows.applied == []


@pytest.mark.parametrize("junk", [b"z", b"-1\r\n", b"1\r\nxx\r\n", b"1;\x00\r\nx\r\n"])
async def test_junk_behind_good_chunks_is_refused(served: Any, workflows: Any, junk: bytes) -> None:
    reply = await answer(served, CHUNKED + chunked(WORKFLOW)[:-5] + junk + b"\r\n\r\n")
    assert reply.split(b" ")[1] == b"400"
    assert workflows.applied == []


async def test_an_early_answer_and_a_body_in_tiny_chunks_do_not_mix_up_what_follows(served: Any) -> None:
    large = CHUNKED + chunked(bytes(routing.MAX_BODY_BYTES + 1), 100_000) + LAST
    reply = await answer(served, CHUNKED.replace(b"/workflows", b"/none") + chunked(WORKFLOW) + LAST)
    assert reply.count(b"HTTP/1.1 ") in (1, 2)
    assert reply.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 "))
    assert (await answer(served, large)).startswith(b"HTTP/1.1 413 ")
