"""The socket transport and listener, on loopback sockets."""

import errno
import os
import socket

import pytest
import trio
import trio.testing

from mmids_trio.net.transport import ACCEPT_RETRY_SECONDS, SocketListener, SocketNetwork, SocketTransport

TIMEOUT = 10  # seconds after which a test that hangs fails


def a_pair() -> tuple[SocketTransport, socket.socket]:
    ours, theirs = socket.socketpair()
    return SocketTransport(ours), theirs


async def connect(listener: SocketListener, host: str = "127.0.0.1") -> tuple[SocketTransport, trio.SocketStream]:
    client = await trio.open_tcp_stream(host, listener.port)
    return await listener.accept(), client


async def test_bytes_go_both_ways() -> None:
    listener = SocketNetwork().listen("127.0.0.1", 0)
    with trio.fail_after(TIMEOUT):
        server, client = await connect(listener)
        await client.send_all(b"question")
        assert await server.receive_some(100) == b"question"
        await server.send_all(b"answer")
        assert await client.receive_some(100) == b"answer"
        await client.aclose()
        assert await server.receive_some(100) == b""
    server.close()
    listener.close()


async def test_media_is_not_held_back_by_the_kernel() -> None:
    listener = SocketNetwork().listen("127.0.0.1", 0)
    server, client = await connect(listener)
    assert server._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    server.close()
    await client.aclose()
    listener.close()


async def test_a_read_waits_for_data(nursery: trio.Nursery) -> None:
    transport, peer = a_pair()
    received: list[bytes] = []

    async def read() -> None:
        received.append(await transport.receive_some(100))

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    assert received == []
    peer.send(b"late")
    with trio.fail_after(TIMEOUT):
        while not received:
            await trio.lowlevel.checkpoint()
    assert received == [b"late"]
    transport.close()
    peer.close()


async def test_every_read_is_a_checkpoint_so_a_flood_starves_nobody() -> None:
    transport, peer = a_pair()
    peer.send(b"x" * 10)
    with trio.testing.assert_checkpoints():
        assert await transport.receive_some(5) == b"xxxxx"
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.receive_some(5)
    assert scope.cancelled_caught
    assert await transport.receive_some(5) == b"xxxxx"  # the cancelled read took nothing
    transport.close()
    peer.close()


async def test_send_nowait_says_how_much_the_system_took() -> None:
    transport, peer = a_pair()
    data = bytes(10_000_000)
    sent = transport.send_nowait(data)
    assert 0 < sent < len(data)
    while transport.send_nowait(data):
        pass
    with trio.move_on_after(0.01) as scope:
        await transport.wait_writable()
    assert scope.cancelled_caught
    peer.recv(sent)
    with trio.fail_after(TIMEOUT):
        while not transport.send_nowait(b"x" * 1000):
            peer.recv(100_000)
            await transport.wait_writable()
    transport.close()
    peer.close()


async def test_send_all_outlasts_a_slow_reader(nursery: trio.Nursery) -> None:
    listener = SocketNetwork().listen("127.0.0.1", 0)
    server, client = await connect(listener)
    data = os.urandom(5_000_000)
    nursery.start_soon(server.send_all, data)
    received = bytearray()
    with trio.fail_after(TIMEOUT):
        while len(received) < len(data):
            received += await client.receive_some(50_000)
    assert received == data
    server.close()
    await client.aclose()
    listener.close()


async def test_a_vanished_peer_breaks_the_connection() -> None:
    transport, peer = a_pair()
    peer.close()
    with pytest.raises(trio.BrokenResourceError, match="cannot send"):
        transport.send_nowait(b"x")
    with pytest.raises(trio.BrokenResourceError, match="cannot send"):
        await transport.send_all(b"x")
    transport.close()


async def test_closing_wakes_the_reader_and_may_be_repeated() -> None:
    transport, peer = a_pair()

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.receive_some(1)

    with trio.fail_after(TIMEOUT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            transport.close()
            transport.close()
    with pytest.raises(trio.ClosedResourceError):
        transport.send_nowait(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await transport.receive_some(1)
    peer.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_all_addresses_means_both_families_on_one_port(host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 here")
    listener = SocketNetwork().listen(None, 0)
    with trio.fail_after(TIMEOUT):
        server, client = await connect(listener, host)
    assert server.peer_host == host
    assert server.peer_port == client.socket.getsockname()[1]
    server.close()
    await client.aclose()
    listener.close()


async def test_a_name_stands_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_addresses(*args: object, **kwargs: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 0)) for n in (1, 1, 2)]

    monkeypatch.setattr("mmids_trio.net.transport.socket.getaddrinfo", two_addresses)
    listener = SocketNetwork().listen("both.example", 0)
    monkeypatch.undo()
    with trio.fail_after(TIMEOUT):
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2"):
            async with trio.open_nursery() as nursery:
                accepted: list[SocketTransport] = []

                async def accept(into: list[SocketTransport] = accepted) -> None:
                    into.append(await listener.accept())

                nursery.start_soon(accept)
                await trio.testing.wait_all_tasks_blocked()
                client = await trio.open_tcp_stream(host, listener.port)
            assert accepted[0]._socket.getsockname()[0] == host
            accepted[0].close()
            await client.aclose()
    listener.close()


async def test_a_port_in_use_is_an_error_that_names_it() -> None:
    listener = SocketNetwork().listen(None, 0)
    with pytest.raises(OSError, match=f"port {listener.port}: Address already in use"):
        SocketNetwork().listen(None, listener.port)
    listener.close()


async def test_a_closed_port_can_be_bound_again_at_once() -> None:
    listener = SocketNetwork().listen(None, 0)
    server, client = await connect(listener)
    listener.close()
    listener.close()
    server.close()  # this side closes first, so the connection lingers in TIME_WAIT
    await client.aclose()
    again = SocketNetwork().listen(None, listener.port)
    assert again.port == listener.port
    again.close()


@pytest.mark.parametrize("sockets", [1, 2])
async def test_closing_a_listener_ends_its_accept(sockets: int) -> None:
    def listening() -> socket.socket:
        opened = socket.create_server(("127.0.0.1", 0))
        opened.setblocking(False)
        return opened

    listener = SocketListener([listening() for _ in range(sockets)])

    async def accept() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()

    with trio.fail_after(TIMEOUT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            await trio.testing.wait_all_tasks_blocked()
            listener.close()


class FailingSocket(socket.socket):
    """Raises each of `failures` once from `accept`."""

    failures: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise OSError(self.failures.pop(0), "made up")
        return super().accept()


def failing_listener(*failures: int) -> tuple[SocketListener, FailingSocket]:
    listening = FailingSocket(socket.AF_INET, socket.SOCK_STREAM)
    listening.failures = list(failures)
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return SocketListener([listening]), listening


async def test_accept_outlives_connections_that_vanish_before_it_gets_to_them() -> None:
    listener, listening = failing_listener(errno.ECONNABORTED, errno.EPROTO, errno.EPERM)
    with trio.fail_after(TIMEOUT):
        server, client = await connect(listener)
    assert listening.failures == []
    server.close()
    await client.aclose()
    listener.close()


@pytest.mark.parametrize("failure", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
async def test_accept_waits_while_the_system_is_out_of_files(failure: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("mmids_trio.net.transport.trio.sleep", sleep)
    listener, _ = failing_listener(failure, failure)
    pauses: list[int] = []
    listener.on_pause = lambda: pauses.append(1)
    with trio.fail_after(TIMEOUT):
        server, client = await connect(listener)
    assert slept == [ACCEPT_RETRY_SECONDS] * 2
    assert len(pauses) == 1, "one for each time that files are short, not for each look"
    server.close()
    await client.aclose()
    listener.close()


async def test_a_listening_socket_that_is_broken_is_an_error() -> None:
    listener, _ = failing_listener(errno.EINVAL)
    with pytest.raises(OSError, match="made up"):
        await listener.accept()
    listener.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("192.0.2.1", 5), ("192.0.2.1", 5)),
        (("::ffff:192.0.2.1", 5, 0, 0), ("192.0.2.1", 5)),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::1", 5)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1%eth0", 5)),
    ],
)
def test_peers_are_named_in_the_plain_form_of_their_address(address: object, expected: tuple[str, int]) -> None:
    ours, theirs = socket.socketpair()

    class Named(socket.socket):
        def getpeername(self) -> object:
            return address

    named = Named(fileno=ours.detach())
    transport = SocketTransport(named)
    assert (transport.peer_host, transport.peer_port) == expected
    named.close()
    theirs.close()


async def test_who_calls_a_closed_port_is_told_that_nobody_listens_there() -> None:
    listener = SocketNetwork().listen("127.0.0.1", 0)
    port = listener.port
    listener.close()
    with trio.fail_after(TIMEOUT), pytest.raises(ConnectionRefusedError) as raised:
        await SocketNetwork().dial("127.0.0.1", port)
    assert raised.value.strerror == os.strerror(errno.ECONNREFUSED)
