"""The API over TLS, with the certificate of RTMPS."""

from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio

from mmids_trio.config.settings import Settings
from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.listening import bind, port_of
from mmids_trio.http_api.server import serve
from mmids_trio.net.certificates import CertificateError, Certificates
from mmids_trio.rejections import RejectCounters
from mmids_trio.server.building import build_server
from tests.http_api.conftest import HANG_SECONDS, ScriptedWorkflows, Serve, Served
from tests.support.certificates import HOST, Made, make


@pytest.fixture
def made() -> Made:
    return make()


@pytest.fixture
async def encrypted(
    serve_app: Serve, workflows: ScriptedWorkflows, made: Made, tmp_path: Path, rejections: RejectCounters
) -> Served:
    certificates = Certificates(made.write(tmp_path / "certificate"))
    await certificates.require()
    app = create_app(workflows, workflows, token=None, version="1.2.3", rejections=rejections)
    return await serve_app(app, certificates=certificates)


async def test_it_answers_who_trusts_its_certificate(encrypted: Served, made: Made) -> None:
    async with httpx2.AsyncClient(
        base_url=f"https://{HOST}:{encrypted.port}", trust_env=False, verify=made.client_context(), timeout=HANG_SECONDS
    ) as client:
        assert (await client.get("/")).text == "Mmids version 1.2.3"
        answers = [await client.get("/workflows") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        body = "# " + "x" * 500_000 + "\nworkflow w {\n    rtmp_receive rtmp_app=live stream_key=a\n}\n"
        assert (await client.put("/workflows", content=body)).status_code == 200


async def test_who_speaks_plain_http_gets_no_answer_and_is_counted(
    encrypted: Served, rejections: RejectCounters
) -> None:
    async with await encrypted.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as stream:
        with trio.fail_after(HANG_SECONDS):
            answer = b"".join([data async for data in stream])
    assert not answer.startswith(b"HTTP/")
    assert rejections.raised() == {"api_tls_handshake_failed": 1}


async def test_who_never_finishes_the_handshake_is_cut_off(
    workflows: ScriptedWorkflows,
    made: Made,
    tmp_path: Path,
    rejections: RejectCounters,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificates = Certificates(made.write(tmp_path / "certificate"))
    await certificates.require()
    app = create_app(workflows, workflows, token=None, version="1")
    listeners = await bind("127.0.0.1", 0)
    shutdown = trio.Event()
    monkeypatch.setattr("mmids_trio.http_api.server.KEEP_ALIVE_SECONDS", 0.05)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            partial(serve, app, listeners, shutdown=shutdown, rejections=rejections, certificates=certificates)
        )
        async with await trio.open_tcp_stream("127.0.0.1", port_of(listeners)) as stream:
            with trio.fail_after(HANG_SECONDS):
                assert await stream.receive_some() == b""
        shutdown.set()
    assert rejections.raised() == {"api_idle_or_head_too_slow": 1}


async def test_a_stop_ends_a_handshake_that_is_under_way(encrypted: Served) -> None:
    async with await encrypted.connect(b"\x16\x03\x01") as stream:
        encrypted.shutdown.set()
        with trio.fail_after(HANG_SECONDS):
            assert await stream.receive_some() == b""
            await encrypted.ended.wait()


async def test_a_server_does_not_start_without_a_certificate_that_it_could_use() -> None:
    server = build_server(Settings(http_api_port=0, http_api_tls=True, log_path=None))
    with pytest.RaisesGroup(pytest.RaisesExc(CertificateError, match="tls_cert_path names none"), allow_unwrapped=True):
        await server.run()


async def test_a_server_serves_its_api_with_the_certificate_of_rtmps(
    made: Made, tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "server.pem"
    made.write(path)
    server = build_server(Settings(http_api_port=0, http_api_tls=True, tls_cert_path=str(path), log_path=None))
    await nursery.start(server.run)
    assert server.api_url == f"https://127.0.0.1:{server.api_port}"
    async with httpx2.AsyncClient(trust_env=False, verify=made.client_context(), timeout=HANG_SECONDS) as client:
        assert (await client.get(f"{server.api_url}/ready")).status_code == 200
    server.stop()
