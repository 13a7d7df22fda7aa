"""What is not HTTP, or badly so: a 400 or a closed connection, no traceback, and everybody else is served."""

from typing import Any

import pytest
import trio
from structlog.testing import LogCapture

from mmids_trio.rejections import RejectCounters

HOST = b"Host: localhost\r\n"


async def answer(served: Any, data: bytes) -> bytes:
    """All that comes back for `data`, when the client has no more to say."""
    client = await served.connect(data)
    try:
        with trio.fail_after(10):
            return b"".join([piece async for piece in client])
    except trio.BrokenResourceError:
        return b""
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x03" + bytes(1536) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
        b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_garbage_is_a_4xx_or_5xx_with_a_request_id(served: Any, logs: LogCapture, data: bytes) -> None:
    reply = await answer(served, data)
    assert reply.split(b" ")[1] in (b"400", b"501")
    assert b"x-request-id: " in reply
    assert not [line for line in logs.entries if "exc_info" in line]


async def test_a_head_beyond_its_limit_is_a_431(served: Any) -> None:
    reply = await answer(served, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000)
    assert reply.startswith(b"HTTP/1.1 431 ")


async def test_a_body_longer_than_its_content_length_is_cut_off(served: Any, workflows: Any) -> None:
    body = b"workflow w {\n rtmp_watch\n}\n"
    head = b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body)
    reply = await answer(served, head + body + b"}}}}\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in reply
    assert len(workflows.applied) == 1


async def test_an_answer_that_comes_before_the_whole_body_arrives_whole(served: Any) -> None:
    head = b"PUT /workflows HTTP/1.1\r\n" + HOST + b"Content-Length: 9000000\r\n\r\n"
    reply = await answer(served, head + bytes(2_000_000))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert reply.rstrip().endswith(b"}")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"*", b"404"),
        (b"http://localhost/workflows", b"200"),
        (b"http://localhost", b"200"),
        (b"?x", b"200"),
    ],
)
async def test_odd_request_targets_are_no_errors(served: Any, target: bytes, status: bytes) -> None:
    reply = await answer(served, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert reply.split(b" ")[1] == status


async def test_a_request_without_a_host_in_http_1_0_is_refused(served: Any) -> None:
    assert (await answer(served, b"GET / HTTP/1.0\r\n\r\n")).split(b" ")[1] == b"403"


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: %s\r\n"
CLOSE = b"Connection: close\r\n"


async def test_an_upgrade_to_http2_is_ignored(served: Any) -> None:
    reply = await answer(served, b"GET /workflows HTTP/1.1\r\n" + HOST + UPGRADE % b"h2c" + CLOSE + b"\r\n")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert reply.endswith(b"[]\n")


@pytest.mark.parametrize("frames", [b"", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", bytes(100_000)])
async def test_http2_with_prior_knowledge_is_a_505_and_the_end(
    served: Any, logs: LogCapture, rejections: RejectCounters, frames: bytes
) -> None:
    reply = await answer(served, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frames)
    assert reply.startswith(b"HTTP/1.1 505 ")
    assert b"connection: close" in reply
    assert b"x-request-id: " in reply
    assert rejections.raised() == {"api_protocol_broken": 1}
    assert not [line for line in logs.entries if "exc_info" in line]


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.0"])
async def test_other_versions_of_http_are_a_505(served: Any, version: bytes) -> None:
    reply = await answer(served, b"GET /workflows HTTP/" + version + b"\r\n" + HOST + b"\r\n")
    assert reply.startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize("wanted", [b"websocket", b"WebSocket", b"h2c, websocket"])
async def test_a_websocket_is_refused(served: Any, rejections: RejectCounters, wanted: bytes) -> None:
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    reply = await answer(served, b"GET /workflows HTTP/1.1\r\n" + HOST + UPGRADE % wanted + key + b"\r\n")
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"[]" not in reply
    assert rejections.raised() == {"api_protocol_broken": 1}
