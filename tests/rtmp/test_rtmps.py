"""RTMPS from end to end, in memory: clients that speak TLS, ports that do, and certificates that come and go."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.net.certificates import CHECK_SECONDS
from mmids_trio.net.tls import HANDSHAKE_SECONDS, HandshakeFailed, connect_tls
from mmids_trio.net.transport import Transport
from mmids_trio.testing.clients import ClientRefused, RtmpClient
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.media import generate_stream
from mmids_trio.workflow.status import OutcomeKind
from tests.support.certificates import HOST, Made, make

Closings = Callable[[], list[str]]
PACKETS = generate_stream(seconds=2)
MADE = make()

RECEIVE = "rtmp_receive rtmp_app=live stream_key=*"
WATCH = "rtmp_watch rtmp_app=live stream_key=*"


def workflow(*steps: str, name: str = "w") -> str:
    return f"workflow {name} {{\n" + "\n".join(steps) + "\n}\n"


def settings(*lines: str) -> str:
    return "settings {\n" + "\n".join(lines) + "\n}\n"


@asynccontextmanager
async def serving(path: Path, *steps: str) -> AsyncIterator[Harness]:
    """A server whose certificate is `MADE`, and a workflow `w`."""
    MADE.write(path)
    h = Harness(settings(f"tls_cert_path {path}") + (workflow(*steps) if steps else ""))
    async with h:
        yield h
    h.assert_quiet()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return tmp_path / "server.pem"


def spoil(certificate: Path) -> None:
    certificate.write_bytes(b"half a fi")


async def client(h: Harness, *, port: int = 443, made: Made = MADE, app: str = "live") -> RtmpClient:
    transport = await connect_tls(await h.open(port=port), HOST, made.client_context())
    return await RtmpClient.connected(transport, app)


async def plays_all(publisher: RtmpClient, watcher: RtmpClient) -> None:
    """Publish the packets, and see them arrive."""
    await publisher.send(PACKETS)
    await watcher.read_until(lambda: PACKETS[-1].data in [packet.data for packet in watcher.packets])
    assert watcher.report(PACKETS).missed == ()


async def test_what_is_published_over_tls_is_watched_over_tls(
    certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps", f"{WATCH} rtmps") as h:
        assert h.network.open_ports == {443}
        publisher, watcher = await client(h), await client(h)
        await watcher.watch("key")
        await publisher.publish("key")
        await plays_all(publisher, watcher)
        assert closings() == []


async def test_one_side_may_be_encrypted_and_the_other_not(certificate: Path, autojump_clock: MockClock) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps port=4430", WATCH) as h:
        assert h.network.open_ports == {4430, 1935}
        watcher, publisher = await h.watch("key"), await client(h, port=4430)
        await publisher.publish("key")
        await plays_all(publisher, watcher)


async def test_the_last_words_reach_an_encrypted_client_too(
    certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps", f"{WATCH} rtmps") as h:
        watcher, other = await client(h), await client(h)
        await watcher.watch("key")
        await other.publish("key")
        with pytest.raises(ClientRefused, match="BadName"):
            await (await client(h)).publish("key")
        await h.stop("w")
        await watcher.read_until_closed()
        assert watcher.statuses[-1] == "NetStream.Play.Stop"
        assert closings()[1:] == ["what it used has ended"] * 2


@pytest.mark.parametrize("tls", [False, True])
async def test_a_client_of_the_other_kind_is_refused_at_once_and_the_log_says_why(
    tls: bool, certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    async with serving(certificate, WATCH if tls else f"{WATCH} rtmps") as h:
        began = trio.current_time()
        if tls:
            with pytest.raises(HandshakeFailed):
                await client(h, port=1935)
        else:
            plain = RtmpClient(await h.open(port=443))
            await plain.flush()
            await plain.read_until_closed()
        assert trio.current_time() == began
        [reason] = closings()
        assert ("TLS on a plain RTMP port" if tls else "plain RTMP on an RTMPS port") in reason


async def test_a_client_that_never_shakes_hands_is_let_go_and_disturbs_nobody(
    certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps", f"{WATCH} rtmps") as h:
        silent = await h.open(port=443)
        watcher = await client(h)
        await watcher.watch("key")
        began = trio.current_time()
        assert await silent.receive_some(1) == b""
        assert trio.current_time() == began + HANDSHAKE_SECONDS
        assert closings() == ["no TLS handshake within 10 seconds"]
        assert not watcher.is_disconnected


@pytest.mark.parametrize("seed", range(20))
async def test_noise_after_the_first_byte_never_crashes_a_connection(
    seed: int, certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    random = Random(seed)
    async with serving(certificate, f"{RECEIVE} rtmps") as h:
        transport = await h.open(port=443)
        length = random.randrange(500)
        header = b"\x16\x03\x01" + random.choice([length, random.randrange(1 << 14)]).to_bytes(2, "big")
        await transport.send_all(header[: random.randrange(1, 6)] + random.randbytes(length))
        assert await until_closed(transport)
        assert len(closings()) == 1
        await (await client(h)).publish("key")


async def until_closed(transport: Transport) -> bool:
    """Read alerts, if any come, until the server closes the connection."""
    while await transport.receive_some(1000):
        pass
    return True


async def test_the_end_of_a_port_does_not_wait_for_handshakes(certificate: Path, autojump_clock: MockClock) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps") as h:
        silent = await h.open(port=443)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await h.stop("w")
        assert trio.current_time() == began
        assert await silent.receive_some(1) == b""


# One port is RTMP or RTMPS.


@pytest.mark.parametrize(("first", "second"), [("port=443", "rtmps"), ("rtmps port=1935", "")])
async def test_a_port_of_another_workflow_is_taken_for_the_other_kind(
    first: str, second: str, certificate: Path, autojump_clock: MockClock
) -> None:
    async with serving(certificate, f"{RECEIVE} {first}") as h:
        outcome = await h.put(workflow(f"{WATCH} {second}", name="second"))
        assert outcome.kind is OutcomeKind.FAILED
        has, wants = ("RTMP", "RTMPS") if second else ("RTMPS", "RTMP")
        assert f"is used for {has} by workflow 'w' (step id" in outcome.message
        assert f"so it cannot serve {wants} as well" in outcome.message
        assert h.workflow("w").status == "Running"


async def test_a_workflow_that_mixes_both_on_a_port_is_in_error(certificate: Path, autojump_clock: MockClock) -> None:
    async with serving(certificate) as h:
        outcome = await h.put(workflow(f"{RECEIVE} rtmps", f"{WATCH} port=443"))
        assert "port 443 is used for RTMPS by workflow 'w'" in outcome.message
        assert h.server.rtmp.is_quiet


@pytest.mark.parametrize("to_tls", [True, False])
async def test_a_port_turns_in_one_change(
    to_tls: bool, certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    plain, secure = ([f"{step} port=7000{kind}" for step in (RECEIVE, WATCH)] for kind in ("", " rtmps"))
    before, after = (plain, secure) if to_tls else (secure, plain)
    async with serving(certificate, *before) as h:

        async def connect(tls: bool) -> RtmpClient:
            return await client(h, port=7000) if tls else await h.connect(port=7000)

        old, idle = await connect(not to_tls), await connect(not to_tls)
        await old.publish("key")
        assert (await h.put(workflow(*after))).kind is OutcomeKind.APPLIED
        await old.read_until_closed()
        with pytest.raises(ClientRefused, match="no stream key"):
            await idle.publish("key")  # came in the clear (or not), so it is not meant
        publisher, watcher = await connect(to_tls), await connect(to_tls)
        await watcher.watch("key")
        await publisher.publish("key")
        await plays_all(publisher, watcher)


async def test_a_port_does_not_turn_in_a_change_that_fails(certificate: Path, autojump_clock: MockClock) -> None:
    async with serving(certificate, RECEIVE) as h:
        publisher = await h.publish("key")
        spoil(certificate)
        outcome = await h.put(workflow(f"{RECEIVE} rtmps port=1935"), rollback=True)
        assert outcome.kind is OutcomeKind.ROLLED_BACK
        assert "it is not a certificate" in outcome.message
        await publisher.send(PACKETS)
        await h.publish("other")


# Certificates.


async def test_without_a_usable_certificate_a_step_is_in_error_and_says_why(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    (tmp_path / "right.pfx").write_bytes(MADE.pkcs12("right"))
    make(end=yesterday).write(tmp_path / "expired.pem")
    for lines, problem in (
        ((), "TLS needs a certificate, and the setting tls_cert_path names none"),
        ((f"tls_cert_path {tmp_path}/none.pem",), "cannot be read: No such file or directory"),
        ((f"tls_cert_path {tmp_path}/expired.pem",), f"it expired on {yesterday:%Y-%m-%d}"),
        ((f"tls_cert_path {tmp_path}/right.pfx", "tls_cert_password hunter2"), "its password is wrong"),
    ):
        h = Harness(settings(*lines))
        async with h:
            outcome = await h.put(workflow(f"{RECEIVE} rtmps"))
            assert outcome.kind is OutcomeKind.FAILED
            assert problem in outcome.message
            assert "hunter2" not in outcome.message
            assert h.server.rtmp.is_quiet
            assert (await h.put(workflow(RECEIVE))).kind is OutcomeKind.APPLIED


async def test_an_expired_certificate_serves_where_the_setting_allows_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    expired = make(end=datetime.now(UTC) - timedelta(days=1))
    expired.write(tmp_path / "expired.pem")
    lines = (f"tls_cert_path {tmp_path}/expired.pem", "allow_expired_certificate true")
    async with Harness(settings(*lines)) as h:
        assert (await h.put(workflow(f"{RECEIVE} rtmps"))).kind is OutcomeKind.APPLIED
        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
        publisher = await RtmpClient.connected(await connect_tls(await h.open(port=443), HOST, careless), "live")
        await publisher.publish("key")


@pytest.mark.parametrize("asked_for", [True, False])
async def test_a_new_certificate_is_for_new_connections_and_disconnects_nobody(
    asked_for: bool, certificate: Path, autojump_clock: MockClock, closings: Closings
) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps", f"{WATCH} rtmps") as h:
        publisher, watcher = await client(h), await client(h)
        await publisher.publish("key")
        await watcher.watch("key")
        new = make(authority="New")
        new.write(certificate)
        if asked_for:
            await h.server.rtmp.reload_certificates()
        else:
            await trio.sleep(CHECK_SECONDS)
        newcomer = await client(h, made=new)
        await newcomer.watch("key")
        await plays_all(publisher, watcher)
        await newcomer.read_until(lambda: PACKETS[-1].data in [packet.data for packet in newcomer.packets])
        with pytest.raises(HandshakeFailed, match="certificate is refused"):
            await client(h, made=MADE)
        await wait_all_tasks_blocked()
        assert closings() == ["tlsv1 alert unknown ca"]  # the client's word for it


async def test_a_broken_new_certificate_changes_nothing_but_the_log(
    certificate: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps") as h:
        spoil(certificate)
        await h.server.rtmp.reload_certificates()
        await trio.sleep(CHECK_SECONDS)
        await (await client(h)).publish("key")
        [complaint] = [entry["reason"] for entry in logs if entry["log_level"] == "error"]
        assert complaint.startswith(f"the certificate '{certificate}' cannot be used: it is not a certificate")


async def test_a_client_may_insist_on_tls_1_2(certificate: Path, autojump_clock: MockClock) -> None:
    async with serving(certificate, f"{RECEIVE} rtmps") as h:
        context = MADE.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        transport = await connect_tls(await h.open(port=443), HOST, context)
        await (await RtmpClient.connected(transport)).publish("key", PACKETS)
