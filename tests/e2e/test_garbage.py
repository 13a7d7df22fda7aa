"""Peers that speak something else: they are let go, the log stays clean, and nobody else feels it."""

import re

import pytest
import trio

from tests.support.ffmpeg import Crew, Recording, place_of
from tests.support.program import Launch, Program

pytestmark = pytest.mark.e2e

WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_HELLO = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(range(190))
HANDSHAKE = b"\x03" + bytes(2 * 1536)
ENDLESS_MESSAGE = b"\x03" + bytes(3) + b"\xff\xff\xff\x14" + bytes(4)
BAD_AMF = b"\x03" + bytes(3) + b"\x00\x00\x04\x14" + bytes(4) + b"\xff\xfe\xfd\xfc"


async def say(port: int, data: bytes, *, close: bool = False) -> bytes:
    """Everything that the server answers to `data` until it hangs up (or we do, where `close` says so)."""
    with trio.fail_after(30):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(data)
            if close:
                return b""
            try:
                return b"".join([piece async for piece in stream])
            except trio.BrokenResourceError:
                return b""


def api_port(program: Program) -> int:
    """The port of the HTTP API."""
    return int(program.api.rpartition(":")[2])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HTTP, "HTTP"),
        (TLS_HELLO, "TLS"),
        (b"\x06" + bytes(1536), "RTMPE"),
        (b"\x00" * 3000, "protocol error"),
        (HANDSHAKE + ENDLESS_MESSAGE, "protocol error"),
        (HANDSHAKE + BAD_AMF, "protocol error"),
        (HANDSHAKE + b"\xff" * 70_000, "protocol error"),
    ],
    ids=["HTTP", "TLS", "RTMPE", "zeros", "a message of 16 MiB", "commands that are no AMF", "ones"],
)
async def test_garbage_on_the_rtmp_port_is_cut_off_with_a_line_that_says_what_it_was(
    launch: Launch, data: bytes, reason: str
) -> None:
    program = await launch(WORKFLOW)
    await say(program.rtmp_port, data)
    line = await program.logged("connection closes")
    assert reason in line
    assert re.search(r"connection='127\.0\.0\.1:\d+'", line)


async def test_garbage_on_the_http_port_is_cut_off(launch: Launch) -> None:
    program = await launch(WORKFLOW)
    for data in (b"\x00\xff" * 500, b"GET\r\n\r\n", TLS_HELLO, b"HELO there\r\n\r\n", HANDSHAKE):
        answer = await say(api_port(program), data)
        assert not answer or answer.startswith(b"HTTP/1.1 400"), answer
        assert (await program.get("/")).status == 200


async def test_garbage_everywhere_does_not_disturb_who_publishes_and_watches(
    launch: Launch, crew: Crew, show: Recording
) -> None:
    program = await launch(WORKFLOW)
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(program.url())
    await player.gets(1)
    for data in (HTTP, TLS_HELLO, HANDSHAKE + BAD_AMF, HANDSHAKE, b"\x03"):
        await say(program.rtmp_port, data, close=True)
        await say(api_port(program), data, close=True)
    await player.gets_more()
    place_of(player.packets.video, show.packets.video)
    place_of(player.packets.audio, show.packets.audio)
    assert program.count_logged("publisher left|watcher left") == 0
