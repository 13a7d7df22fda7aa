"""Behind a load balancer: rules, limits and the log know the client, and nobody else can pretend to be one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from structlog.contextvars import get_contextvars
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.addresses import parse_networks
from mmids_trio.net.proxy_protocol import HEADER_SECONDS, Balancers
from mmids_trio.net.tls import connect_tls
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.testing.network import memory_connection
from tests.support.certificates import HOST, make
from tests.support.proxying import header, tcp4, tcp6

Closings = Callable[[], list[str]]
PACKETS = generate_stream(seconds=1)
BALANCER = "10.0.0.1"
SETTINGS = "rtmp_proxy_protocol_from 10.0.0.0/24,fd00::/64"


def configuration(*steps: str, settings: str = "") -> str:
    return f"settings {{\n{SETTINGS}\n{settings}\n}}\nworkflow w {{\n" + "\n".join(steps) + "\n}\n"


RECEIVE = "rtmp_receive rtmp_app=live stream_key=* allow_ips=192.0.2.0/24"
WATCH = "rtmp_watch rtmp_app=live stream_key=* deny_ips=2001:db8::/32"


async def through(h: Harness, sent: bytes, *, peer_host: str = BALANCER) -> RtmpClient:
    """A client behind a balancer that says `sent` first."""
    transport = await h.open(peer_host=peer_host)
    await transport.send_all(sent)
    return await RtmpClient.connected(transport, "live")


async def test_rules_go_by_the_client_behind_the_balancer(autojump_clock: MockClock) -> None:
    async with Harness(configuration(RECEIVE, WATCH)) as h:
        watcher = await through(h, tcp4("198.51.100.9", 4000), peer_host="fd00::7")
        await watcher.watch("key")
        with pytest.raises(ClientRefused, match=r"198\.51\.100\.9 is not allowed here"):
            await (await through(h, tcp4("198.51.100.9", 4001))).publish("key")
        with pytest.raises(ClientRefused, match=r"2001:db8::1 is not allowed here"):
            await (await through(h, tcp6("2001:db8::1", 4001, bytes(100)))).watch("key")
        publisher = await through(h, tcp4("192.0.2.5", 4002))
        await publisher.publish("key", PACKETS)
        await watcher.receive(len(PACKETS))
        assert watcher.report(PACKETS).missed == ()
    h.assert_quiet()


async def test_the_balancer_itself_is_who_it_is(autojump_clock: MockClock) -> None:
    async with Harness(configuration(RECEIVE, WATCH)) as h:
        await (await through(h, header(0x20, 0))).watch("key")
        with pytest.raises(ClientRefused, match=r"10\.0\.0\.1 is not allowed here"):
            await (await through(h, header(0x20, 0))).publish("key")


@pytest.mark.parametrize(
    ("sent", "peer_host", "why"),
    [
        (b"\x03" + bytes(1536), BALANCER, "no PROXY protocol header"),
        (b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", BALANCER, "version 1"),
        (tcp4("192.0.2.5", 1), "192.0.2.99", "rtmp_proxy_protocol_from does not list"),
    ],
    ids=["none where one must be", "version 1", "one where none may be"],
)
async def test_a_header_where_none_may_be_or_none_where_one_must_be_is_refused(
    sent: bytes, peer_host: str, why: str, autojump_clock: MockClock, closings: Closings
) -> None:
    async with Harness(configuration(RECEIVE)) as h:
        transport = await h.open(peer_host=peer_host)
        await transport.send_all(sent)
        assert await transport.receive_some(1) == b""
        [reason] = closings()
        assert why in reason
        counter = "proxy_header_refused" if peer_host == BALANCER else "protocol_broken"
        assert h.server.rejections.raised() == {counter: 1}
    h.assert_quiet()


async def test_a_balancer_that_says_nothing_or_leaves_is_let_go(autojump_clock: MockClock, closings: Closings) -> None:
    async with Harness(configuration(RECEIVE)) as h:
        silent, gone = await h.open(peer_host=BALANCER), await h.open(peer_host=BALANCER)
        gone.close()
        began = trio.current_time()
        await silent.send_all(tcp4("192.0.2.5", 1)[:20])
        assert await silent.receive_some(1) == b""
        assert trio.current_time() == began + HEADER_SECONDS
        assert closings() == [
            "the connection ended before its PROXY protocol header",
            "no PROXY protocol header within 5 seconds",
        ]
        assert h.server.rejections["proxy_header_refused"] == 2


async def test_the_limit_of_connections_is_that_of_each_client_and_not_of_the_balancer(
    autojump_clock: MockClock,
) -> None:
    async with Harness(configuration(WATCH, settings="max_connections_per_ip 1")) as h:
        for number in range(3):
            await (await through(h, tcp4(f"192.0.2.{number}", 1))).watch("key")
        transport = await h.open(peer_host=BALANCER)
        await transport.send_all(tcp4("192.0.2.0", 2))
        assert await transport.receive_some(1) == b""
        assert h.server.rejections.raised() == {"connections_beyond_limit_of_ip": 1}


async def test_the_header_comes_before_tls(tmp_path: Path, autojump_clock: MockClock) -> None:
    made = make()
    path = made.write(tmp_path / "server.pem").certificate
    text = configuration(f"{RECEIVE} rtmps", f"{WATCH} rtmps", settings=f"tls_cert_path {path}")
    h = Harness(text)
    async with h:
        below = await h.open(port=443, peer_host=BALANCER)
        await below.send_all(tcp4("192.0.2.5", 1))
        client = await RtmpClient.connected(await connect_tls(below, HOST, made.client_context()))
        await client.publish("key", PACKETS)
    h.assert_quiet()


@pytest.mark.thorough
async def test_log_lines_name_the_client(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def note(*_arguments: object, **_keywords: object) -> None:
        seen.append(get_contextvars().get("connection"))

    monkeypatch.setattr("mmids_trio.rtmp.server.server.RtmpSession.run", note)
    async with Harness(configuration(RECEIVE)) as h:
        transport = await h.open(peer_host=BALANCER)
        await transport.send_all(tcp6("2001:db8::1", 77))
        await wait_all_tasks_blocked()
        assert seen == ["[2001:db8::1]:77"]


async def test_a_cancelled_look_closes_the_connection() -> None:
    balancers = Balancers(parse_networks("10.0.0.0/24"))

    async def look() -> None:
        client, server = memory_connection(client=(BALANCER, 1))
        try:
            client.send_nowait(tcp4("192.0.2.5", 1)[:20])
            client.send_nowait(tcp4("192.0.2.5", 1)[20:])
            looked = await balancers.look_behind(server)
            looked.close()
        finally:
            with pytest.raises(trio.BrokenResourceError):
                client.send_nowait(b"x")
            client.close()

    await cancel_everywhere(look)
