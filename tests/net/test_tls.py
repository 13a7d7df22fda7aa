"""TLS as a transport, on both sides, over the network in memory."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from mmids_trio.net.identity import Identity, server_context
from mmids_trio.net.tls import (
    HANDSHAKE_SECONDS,
    MAX_UNSENT_BYTES,
    PIECE_BYTES,
    HandshakeFailed,
    TlsTransport,
    accept_tls,
    connect_tls,
)
from mmids_trio.testing.network import DEFAULT_BUFFER, MemoryTransport, memory_connection
from tests.support.certificates import HOST, Made, make

MADE = make()
CONTEXT = server_context(Identity(MADE.key, MADE.certificate, (MADE.authority,)))


@asynccontextmanager
async def pair(
    *, buffer_size: int = DEFAULT_BUFFER, client_context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[TlsTransport, TlsTransport]]:
    """The client's and the server's end of a connection."""
    far, near = memory_connection(buffer_size=buffer_size)
    async with both(far, near, client_context or MADE.client_context()) as (client, server):
        yield client, server
        client.close()
        server.close()


@asynccontextmanager
async def both(
    far: MemoryTransport, near: MemoryTransport, context: ssl.SSLContext
) -> AsyncIterator[tuple[TlsTransport, TlsTransport]]:
    ends: dict[str, TlsTransport] = {}

    async def accept() -> None:
        ends["server"] = await accept_tls(near, CONTEXT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        ends["client"] = await connect_tls(far, HOST, context)
    yield ends["client"], ends["server"]


def version(wanted: ssl.TLSVersion) -> ssl.SSLContext:
    context = MADE.client_context()
    context.maximum_version = wanted
    return context


@pytest.mark.thorough
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("buffer_size", [100, DEFAULT_BUFFER])
async def test_bytes_go_both_ways(newest: ssl.TLSVersion, buffer_size: int, autojump_clock: MockClock) -> None:
    sent = os.urandom(300_000)

    async def echo(server: TlsTransport) -> None:
        while data := await server.receive_some(10_000):
            await server.send_all(data)

    async with pair(buffer_size=buffer_size, client_context=version(newest)) as (client, server):
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, server)
            nursery.start_soon(client.send_all, sent)
            while len(received) < len(sent):
                received += await client.receive_some(50_000)
            nursery.cancel_scope.cancel()
        assert received == sent
        assert (server.peer_host, server.peer_port) == ("127.0.0.1", 49_152)


async def test_nothing_goes_over_the_wire_in_the_clear(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (_client, server):
        await server.send_all(b"the stream key" * 10)
        assert b"stream key" not in far.receive_nowait()


async def test_send_nowait_takes_one_piece_ahead_of_a_peer_that_does_not_read(autojump_clock: MockClock) -> None:
    async with pair(buffer_size=10_000) as (client, server):
        data = os.urandom(1_000_000)
        taken = server.send_nowait(data)
        assert 0 < taken <= PIECE_BYTES
        assert server.has_unsent
        for _ in range(100):
            assert server.send_nowait(data[taken:]) == 0
        with trio.move_on_after(60) as scope:
            await server.wait_writable()
        assert scope.cancelled_caught
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.wait_writable)
            while len(received) < taken:
                received += await client.receive_some(5_000)
        assert received == data[:taken]
        assert not server.has_unsent


async def test_all_that_was_taken_arrives_in_order_whatever_pieces_it_was_sent_in(autojump_clock: MockClock) -> None:
    async with pair(buffer_size=3_000) as (client, server):
        data = os.urandom(500_000)
        received = bytearray()

        async def read() -> None:
            while len(received) < len(data):
                received.extend(await client.receive_some(4_096))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            rest = memoryview(data)
            while rest:
                sent = server.send_nowait(rest[:70_001])
                rest = rest[sent:]
                if server.has_unsent:
                    await server.wait_writable()
        assert received == data


async def test_one_read_brings_all_that_is_there_and_no_more_than_asked_for(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(b"a" * 1000)
        await client.send_all(b"b" * 1000)
        assert await server.receive_some(1_500) == b"a" * 1000 + b"b" * 500
        with assert_checkpoints():
            assert await server.receive_some(1_500) == b"b" * 500


async def test_what_came_in_time_counts_however_late_it_is_read(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    received: list[bytes] = []

    async def read(server: TlsTransport) -> None:
        with trio.move_on_after(5):
            received.append(await server.receive_some(100))

    async with pair() as (client, server):
        nursery.start_soon(read, server)
        await wait_all_tasks_blocked()
        client.send_nowait(b"in time")
        mock_clock.jump(10)  # the machine stood still
        await wait_all_tasks_blocked()
        assert received == [b"in time"]


async def test_closing_says_goodbye_and_may_be_repeated(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (client, server):
        await server.send_all(b"last words")
        server.close()
        server.close()
        assert await client.receive_some(100) == b"last words"
        assert await client.receive_some(100) == b""
        with pytest.raises(trio.ClosedResourceError):
            server.send_nowait(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await server.receive_some(1)


async def test_the_goodbye_does_not_wait_for_a_peer_that_does_not_read(autojump_clock: MockClock) -> None:
    async with pair(buffer_size=3_000) as (_client, server):
        server.send_nowait(bytes(100_000))
        began = trio.current_time()
        server.close()
        assert trio.current_time() == began


async def test_a_peer_that_leaves_without_a_goodbye_has_left(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (_client, server):
        far.close()
        assert await server.receive_some(100) == b""


async def test_bytes_that_were_changed_on_the_way_break_the_connection(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (_client, server):
        await far.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(trio.BrokenResourceError, match="TLS: "):
            await server.receive_some(100)


async def test_a_broken_connection_is_reported_as_such(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (client, server):
        far.reset()
        for end in (client, server):
            with pytest.raises(trio.BrokenResourceError):
                end.send_nowait(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await end.receive_some(1)
            end.close()


async def failure_of(first: bytes, *, then_close: bool = False) -> str:
    far, near = memory_connection()
    await far.send_all(first)
    if then_close:
        far.close()
    with pytest.raises(HandshakeFailed) as caught:
        await accept_tls(near, CONTEXT)
    with pytest.raises(trio.ClosedResourceError):
        near.send_nowait(b"")
    return str(caught.value)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"\x03" + bytes(1536), "plain RTMP on an RTMPS port"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP on an RTMPS port"),
        (b"\x06", "the first byte, 0x06, is not TLS"),
        (b"\x16\x03\x01\x00\x05hello", "unexpected message"),
        (b"\x16" * 1000, "wrong version number"),
    ],
)
async def test_what_is_no_tls_is_refused_at_once_with_a_reason(
    first: bytes, reason: str, autojump_clock: MockClock
) -> None:
    began = trio.current_time()
    assert reason in await failure_of(first)
    assert trio.current_time() == began


async def test_a_client_that_leaves_early_is_let_go(autojump_clock: MockClock) -> None:
    assert "left before" in await failure_of(b"", then_close=True)
    assert "left in the middle" in await failure_of(b"\x16\x03\x01", then_close=True)


async def test_a_client_that_says_nothing_more_has_ten_seconds(autojump_clock: MockClock) -> None:
    for first in (b"", b"\x16", b"\x16\x03\x01\x02\x00"):
        began = trio.current_time()
        assert await failure_of(first) == "no TLS handshake within 10 seconds"
        assert trio.current_time() == began + HANDSHAKE_SECONDS


async def test_a_client_that_drips_bytes_has_no_longer(autojump_clock: MockClock) -> None:
    far, near = memory_connection()

    async def drip() -> None:
        for byte in b"\x16\x03\x01\x02\x00" + bytes(100):
            await far.send_all(bytes([byte]))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        with pytest.raises(HandshakeFailed, match="no TLS handshake within 10 seconds"):
            await accept_tls(near, CONTEXT)
        nursery.cancel_scope.cancel()
    assert trio.current_time() < HANDSHAKE_SECONDS + 1


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_before_1_2_is_refused(autojump_clock: MockClock) -> None:
    context = MADE.client_context()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    far, near = memory_connection()
    reasons: list[str] = []

    async def accept() -> None:
        with pytest.raises(HandshakeFailed) as caught:
            await accept_tls(near, CONTEXT)
        reasons.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        with pytest.raises(HandshakeFailed, match="alert protocol version"):
            await connect_tls(far, HOST, context)
    assert reasons == ["unsupported protocol"]


@pytest.mark.parametrize(
    ("made", "name", "reason"),
    [(MADE, "elsewhere.example", "elsewhere.example"), (make(), HOST, "the peer's certificate is refused: ")],
    ids=["another name", "another authority"],
)
async def test_a_client_refuses_a_server_that_is_not_who_it_should_be(
    made: Made, name: str, reason: str, autojump_clock: MockClock
) -> None:
    far, near = memory_connection()

    async def accept() -> None:
        with pytest.raises(HandshakeFailed):
            await accept_tls(near, CONTEXT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        with pytest.raises(HandshakeFailed, match=reason):
            await connect_tls(far, name, made.client_context())


async def test_a_client_trusts_the_systems_authorities_by_default(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            with pytest.raises(HandshakeFailed):
                await accept_tls(near, CONTEXT)

        nursery.start_soon(accept)
        with pytest.raises(HandshakeFailed, match="certificate is refused"):
            await connect_tls(far, HOST)


async def test_a_cancelled_handshake_closes_the_connection(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept_tls, near, CONTEXT)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert await far.receive_some(1) == b""


async def test_what_tls_itself_has_to_say_is_bounded_as_well(autojump_clock: MockClock) -> None:
    async with pair(buffer_size=1_000) as (_client, server):
        server.send_nowait(bytes(50_000))
        server._outgoing.write(bytes(MAX_UNSENT_BYTES + 1))
        with pytest.raises(trio.BrokenResourceError, match="does not read"):
            server.send_nowait(b"x")


async def test_what_has_arrived_is_had_without_waiting(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        assert server.receive_nowait(100) == b""
        await client.send_all(b"arrived")
        assert [server.receive_nowait(4), server.receive_nowait(100)] == [b"arri", b"ved"]
        client.close()
        assert server.receive_nowait(100) == b""
        assert await server.receive_some(100) == b""


async def test_what_cannot_be_decrypted_breaks_a_read_that_does_not_wait(autojump_clock: MockClock) -> None:
    far, near = memory_connection()
    async with both(far, near, MADE.client_context()) as (client, server):
        await far.send_all(bytes(100))
        with pytest.raises(trio.BrokenResourceError, match="TLS"):
            server.receive_nowait(100)
        client.close()
        server.close()
