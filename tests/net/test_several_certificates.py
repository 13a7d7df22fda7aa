"""Several certificates: a client gets the one for the host that it asks for, over RTMPS, HTTPS and the API alike."""

import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.typing import EventDict
from trio.testing import MockClock

from mmids_trio.config.settings import Settings
from mmids_trio.net.certificates import CHECK_SECONDS, CertificateError, Certificates
from mmids_trio.net.tls import HandshakeFailed, accept_tls, connect_tls
from mmids_trio.net.transport import Transport
from mmids_trio.server.building import build_server
from mmids_trio.server.logs import configure
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.network import memory_connection
from mmids_trio.workflow.status import OutcomeKind
from tests.support.certificates import HOST, Made, at_once, make

FIRST, OTHER, ANY, EXACT = make(), make(host="other.test"), make(host="*.any.test"), make(host="one.any.test")
ALL = (FIRST, OTHER, ANY, EXACT)

LIVE = """workflow w {
    rtmp_watch rtmp_app=live stream_key=* rtmps
    http_watch app=live stream_key=* https
}
"""


def certificates(folder: Path, all_made: Sequence[Made] = ALL) -> Certificates:
    made = [
        Certificates(one.write(folder / f"{number}.pem"), offload=at_once) for number, one in enumerate(all_made[1:], 1)
    ]
    return Certificates(all_made[0].write(folder / "0.pem"), more=made, offload=at_once)


async def greets(served: Certificates, name: str, made: Made) -> None:
    """Shake hands with what `served` has for `name`; raises `HandshakeFailed` where `made` is not it."""
    far, near = memory_connection()

    async def serve() -> None:
        with suppress(HandshakeFailed):
            await accept_tls(near, await served.context())

    refused: HandshakeFailed | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            (await connect_tls(far, name, made.client_context())).close()
        except HandshakeFailed as error:
            refused = error
    if refused is not None:
        raise refused


@pytest.mark.parametrize(
    ("name", "made"),
    [
        (HOST, FIRST),
        ("127.0.0.1", FIRST),
        ("other.test", OTHER),
        ("OTHER.test", OTHER),
        ("two.any.test", ANY),
        ("one.any.test", EXACT),
    ],
)
async def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for(
    tmp_path: Path, autojump_clock: MockClock, name: str, made: Made
) -> None:
    served = certificates(tmp_path)
    await served.require()
    await greets(served, name, made)


@pytest.mark.parametrize("name", ["nobodys.test", "a.b.any.test", "any.test"])
async def test_a_name_that_none_is_for_gets_the_first(tmp_path: Path, autojump_clock: MockClock, name: str) -> None:
    served = certificates(tmp_path)
    await served.require()
    with pytest.raises(HandshakeFailed, match="Hostname mismatch"):
        await greets(served, name, FIRST)


async def test_each_is_renewed_by_itself_and_a_broken_one_stays_as_it_was(
    tmp_path: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    served = certificates(tmp_path)
    await served.require()
    newer = make(host="other.test")
    newer.write(tmp_path / "1.pem")
    (tmp_path / "2.pem").write_bytes(b"half a fi")
    await greets(served, "other.test", OTHER)
    await trio.sleep(CHECK_SECONDS)
    for name, made in (("other.test", newer), ("two.any.test", ANY), (HOST, FIRST)):
        await greets(served, name, made)
    [error] = [entry for entry in logs if entry["log_level"] == "error"]
    assert str(tmp_path / "2.pem") in error["reason"]
    EXACT.write(tmp_path / "1.pem")
    await served.reload()
    with pytest.raises(HandshakeFailed):
        await greets(served, "other.test", newer)


async def test_one_that_has_expired_is_an_error_at_the_start_and_a_line_in_the_log_later(
    tmp_path: Path, autojump_clock: MockClock, logs: list[EventDict]
) -> None:
    now = datetime.now(UTC)
    served = certificates(tmp_path, [FIRST, make(host="other.test", end=now - timedelta(days=1))])
    with pytest.raises(CertificateError, match=f"'{tmp_path}/1.pem' cannot be used: it expired on"):
        await served.require()
    served = certificates(tmp_path, [FIRST, make(host="other.test", end=now + timedelta(days=1))])
    await served.require()
    served.more[0].now = lambda: now + timedelta(days=2)
    await trio.sleep(CHECK_SECONDS)
    await served.context()
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "TLS certificate is used beyond its time"
    ]


def named(folder: Path) -> str:
    """Settings of a server with two of them, one in two files."""
    FIRST.write(folder / "first.pem")
    (folder / "other.pem").write_bytes(OTHER.pem(chain=True))
    (folder / "key.pem").write_bytes(OTHER.key_pem())
    return f'tls_cert_path {folder}/first.pem\n tls_more_certs "{folder}/other.pem {folder}/key.pem"'


async def test_rtmps_and_media_over_https_choose_alike(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Harness(f"settings {{\n {named(tmp_path)}\n}}\n{LIVE}") as h:
        for port in (443, 8080):
            for name, made in ((HOST, FIRST), ("other.test", OTHER)):
                transport: Transport = await connect_tls(await h.open(port=port), name, made.client_context())
                transport.close()
    h.assert_quiet()


async def test_a_step_says_which_of_them_is_missing(tmp_path: Path, autojump_clock: MockClock) -> None:
    text = f"settings {{\n {named(tmp_path)}\n}}\n"
    (tmp_path / "other.pem").unlink()
    async with Harness(text) as h:
        outcome = await h.put(LIVE)
        assert outcome.kind is OutcomeKind.FAILED
        assert f"'{tmp_path}/other.pem' cannot be read: No such file" in outcome.message


async def test_the_api_chooses_too(tmp_path: Path, nursery: trio.Nursery) -> None:
    named(tmp_path)
    settings = Settings(
        http_api_port=0,
        http_api_tls=True,
        tls_cert_path=str(tmp_path / "first.pem"),
        tls_more_certs=((str(tmp_path / "other.pem"), str(tmp_path / "key.pem")),),
        log_path=None,
    )
    server = build_server(settings)
    await nursery.start(server.run)
    assert server.api_port is not None
    for name, made in ((HOST, FIRST), ("other.test", OTHER)):
        with trio.fail_after(30):
            stream = trio.SSLStream(
                await trio.open_tcp_stream("127.0.0.1", server.api_port),
                made.client_context(),
                server_hostname=name,
                https_compatible=True,
            )
            await stream.do_handshake()
            await stream.send_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200 ")
            await stream.aclose()
    server.stop()


async def test_a_name_that_is_no_text_ends_the_handshake_and_fills_no_console(
    tmp_path: Path, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    served = certificates(tmp_path)
    await served.require()
    said: list[Any] = []
    usual: Callable[[Any], object] = sys.unraisablehook
    sys.unraisablehook = said.append
    try:
        with configure(level=20, directory=None, console=sys.stderr, form="none"):
            far, near = memory_connection()
            hello = ssl.MemoryBIO()
            client = OTHER.client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="other.test")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            await far.send_all(hello.read().replace(b"other.test", b"\xffther.test"))
            with pytest.raises(HandshakeFailed):
                await accept_tls(near, await served.context())
    finally:
        sys.unraisablehook = usual
    assert said == []
    assert capsys.readouterr().err == ""
