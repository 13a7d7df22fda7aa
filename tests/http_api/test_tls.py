"""The API over TLS, with the certificate of RTMPS."""

from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio

from mmids_trio.http_api.app import create_app
from mmids_trio.http_api.server import bind, port_of, serve
from mmids_trio.net.certificates import Certificates
from mmids_trio.rejections import RejectCounters
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
