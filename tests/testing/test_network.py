"""The in-memory network behaves as sockets do, in virtual time."""

import errno

import pytest
import trio
import trio.testing

from mmids_trio.net.transport import Listener, Network, Transport
from mmids_trio.testing.network import MemoryNetwork, MemoryTransport, memory_connection


async def connected(network: MemoryNetwork, port: int = 1935) -> tuple[MemoryTransport, MemoryTransport]:
    listener = network.listen(None, port)
    client = await network.connect(port, peer_host="192.0.2.7")
    return client, await listener.accept()


def test_it_fits_the_protocols_of_the_media_path() -> None:
    network: Network = MemoryNetwork()
    listener: Listener = network.listen(None, 1)
    transport: Transport = memory_connection()[0]
    assert (listener.port, transport.peer_port) == (1, 1935)


async def test_bytes_go_both_ways_and_each_end_knows_the_other() -> None:
    client, server = await connected(MemoryNetwork())
    await client.send_all(b"question")
    assert await server.receive_some(3) == b"que"
    assert await server.receive_some(100) == b"stion"
    await server.send_all(b"answer")
    assert await client.receive_some(100) == b"answer"
    assert (server.peer_host, client.peer_port) == ("192.0.2.7", 1935)


async def test_a_peer_that_never_reads_takes_what_the_buffer_holds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = await connected(MemoryNetwork(buffer_size=100))
    assert server.send_nowait(bytes(70)) == 70
    assert server.send_nowait(bytes(70)) == 30
    assert server.send_nowait(b"x") == 0
    assert server.unread == 100
    with trio.move_on_after(1_000) as scope:
        await server.wait_writable()
    assert scope.cancelled_caught
    assert len(await client.receive_some(10)) == 10
    await server.wait_writable()
    assert server.send_nowait(bytes(70)) == 10


async def test_send_all_waits_for_the_reader(nursery: trio.Nursery) -> None:
    client, server = await connected(MemoryNetwork(buffer_size=10))
    data = bytes(range(256))
    nursery.start_soon(server.send_all, data)
    received = b""
    while len(received) < len(data):
        received += await client.receive_some(100)
    assert received == data


async def test_closing_delivers_what_was_sent_then_the_end() -> None:
    client, server = await connected(MemoryNetwork())
    await server.send_all(b"last words")
    server.close()
    server.close()
    assert await client.receive_some(4) == b"last"
    assert await client.receive_some(100) == b" words"
    assert await client.receive_some(100) == b""
    with pytest.raises(trio.BrokenResourceError):
        client.send_nowait(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"x")


async def test_the_closed_end_itself_is_closed() -> None:
    _, server = await connected(MemoryNetwork())
    server.close()
    with pytest.raises(trio.ClosedResourceError):
        await server.receive_some(1)
    with pytest.raises(trio.ClosedResourceError):
        server.send_nowait(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await server.wait_writable()


@pytest.mark.parametrize("ending", ["close here", "close there", "reset"])
async def test_whoever_waits_is_woken_by_the_end(ending: str) -> None:
    client, server = await connected(MemoryNetwork(buffer_size=10))
    server.send_nowait(bytes(10))
    outcomes: list[str] = []

    async def read() -> None:
        try:
            outcomes.append(f"read {len(await server.receive_some(10))}")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            outcomes.append(f"read {type(error).__name__}")

    async def send() -> None:
        try:
            await server.send_all(b"more")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            outcomes.append(f"send {type(error).__name__}")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert outcomes == []
            {"close here": server.close, "close there": client.close, "reset": client.reset}[ending]()
    expected = {
        "close here": ["read ClosedResourceError", "send ClosedResourceError"],
        "close there": ["read 0", "send BrokenResourceError"],
        "reset": ["read BrokenResourceError", "send BrokenResourceError"],
    }
    assert sorted(outcomes) == expected[ending]


async def test_reading_sending_and_waiting_are_checkpoints() -> None:
    client, server = await connected(MemoryNetwork())
    with trio.testing.assert_checkpoints():
        await client.send_all(b"x")
    with trio.testing.assert_checkpoints():
        await client.wait_writable()
    with trio.testing.assert_checkpoints():
        await server.receive_some(1)


async def test_nobody_listening_refuses() -> None:
    network = MemoryNetwork()
    with pytest.raises(ConnectionRefusedError, match="nobody listens on port 1935"):
        await network.connect(1935)
    network.listen(None, 1935).close()
    with pytest.raises(ConnectionRefusedError):
        await network.connect(1935)


async def test_a_port_in_use_is_an_error_until_it_is_closed() -> None:
    network = MemoryNetwork()
    listener = network.listen(None, 1935)
    with pytest.raises(OSError, match="port 1935: in use") as caught:
        network.listen("127.0.0.1", 1935)
    assert caught.value.errno == errno.EADDRINUSE
    listener.close()
    again = network.listen(None, 1935)
    listener.close()  # of no effect on the port's new owner
    assert network.open_ports == {again.port}


async def test_port_0_is_a_free_port() -> None:
    network = MemoryNetwork()
    ports = {network.listen(None, 0).port for _ in range(3)}
    assert len(ports) == 3
    assert ports == network.open_ports


async def test_closing_a_listener_ends_its_accept_and_resets_who_waits() -> None:
    network = MemoryNetwork(backlog=1)
    listener = network.listen(None, 1935)
    waiting = await network.connect(1935)
    refused: list[bool] = []

    async def connect_too() -> None:
        with pytest.raises(ConnectionRefusedError):
            await network.connect(1935)
        refused.append(True)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect_too)
            await trio.testing.wait_all_tasks_blocked()
            listener.close()
    assert refused == [True]
    with pytest.raises(trio.BrokenResourceError):
        await waiting.receive_some(1)
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
