"""Opening the listening sockets: free ports, taken ports, names and addresses that do not exist."""

import pytest
import trio

from mmids_trio.errors import MmidsError
from mmids_trio.http_api.listening import CannotListen, bind, port_of


async def test_port_zero_picks_a_port_that_accepts() -> None:
    listeners = await bind("127.0.0.1", 0)
    assert port_of(listeners) > 0
    async with listeners[0], await trio.open_tcp_stream("127.0.0.1", port_of(listeners)):
        await (await listeners[0].accept()).aclose()


async def test_all_addresses_of_a_name_share_one_port() -> None:
    listeners = await bind("localhost", 0)
    assert {listener.socket.getsockname()[1] for listener in listeners} == {port_of(listeners)}
    for listener in listeners:
        await listener.aclose()


async def test_a_taken_port_is_a_clear_error() -> None:
    (first,) = await bind("127.0.0.1", 0)
    async with first:
        port = port_of([first])
        with pytest.raises(CannotListen, match=f"127.0.0.1 port {port}: the port is in use") as caught:
            await bind("127.0.0.1", port)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, MmidsError)


async def test_a_port_is_free_again_after_its_listener_is_closed() -> None:
    (first,) = await bind("127.0.0.1", 0)
    port = port_of([first])
    await first.aclose()
    (second,) = await bind("127.0.0.1", port)
    assert port_of([second]) == port
    await second.aclose()


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
async def test_an_address_that_is_not_this_machines_is_a_clear_error(host: str) -> None:
    with pytest.raises(CannotListen, match=f"cannot listen on {host} port 0: "):
        await bind(host, 0)
