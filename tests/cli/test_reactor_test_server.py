"""The reactor test server, over real HTTP on loopback."""

import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from structlog.testing import capture_logs

from mmids_trio.cli.commands.reactor_test_server import run_until_signal, serve_workflows
from mmids_trio.http_api.listening import CannotListen

WORKFLOW = "workflow a routed_by_reactor {\n    rtmp_watch rtmp_app=ü stream_key=s\n}\n"


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "workflows"
    (directory / "live").mkdir(parents=True)
    (directory / "live" / "s.mmids").write_text(WORKFLOW, "utf-8")
    (directory / "live" / "empty.mmids").write_text("")
    (directory / "top.mmids").write_text("not for everybody")
    (tmp_path / "secret.mmids").write_text("not for anybody")
    return directory


@pytest.fixture
async def client(directory: Path, nursery: trio.Nursery) -> AsyncIterator[httpx2.AsyncClient]:
    port = await nursery.start(partial(serve_workflows, directory, 0, shutdown=trio.Event()))
    url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=20) as client:
        yield client


@pytest.mark.parametrize(("name", "text"), [("s", WORKFLOW), ("empty", "")])
async def test_a_file_is_the_answer(client: httpx2.AsyncClient, name: str, text: str) -> None:
    answer = await client.post("/live", json={"stream_name": name})
    assert (answer.status_code, answer.content.decode()) == (200, text)


async def test_a_query_is_no_part_of_the_files_name(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/live", json={"stream_name": "s?secret=xyz&a/b=.."})
    assert (answer.status_code, answer.content.decode()) == (200, WORKFLOW)


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"stream_name": "s?secret=xyz"}, 200),
        ({"stream_name": "s?a=b&secret=xyz", "action": "publish"}, 200),
        ({"stream_name": "s?secret=xyz", "action": "watch"}, 200),
        ({"stream_name": "s", "action": "watch"}, 200),
        ({"stream_name": "s"}, 404),
        ({"stream_name": "s", "action": "publish"}, 404),
        ({"stream_name": "s?secret=xy"}, 404),
        ({"stream_name": "s?secret=no", "action": "watch"}, 404),
        ({"stream_name": "other?secret=xyz"}, 404),
    ],
    ids=str,
)
async def test_a_secret_may_be_required_and_is_not_logged(
    directory: Path, nursery: trio.Nursery, question: dict[str, str], status: int
) -> None:
    with capture_logs() as logs:
        serving = partial(serve_workflows, directory, 0, secret="xyz", shutdown=trio.Event())
        port = await nursery.start(serving)
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=20) as client:
            assert (await client.post(f"http://127.0.0.1:{port}/live", json=question)).status_code == status
    assert [entry["event"] for entry in logs if entry["event"] == "asked"] == ["asked"]
    assert "secret" not in str(logs)


@pytest.mark.parametrize(("category", "name"), [("live", "other"), ("none", "s"), ("live", "x" * 300)])
async def test_without_a_file_it_is_404(client: httpx2.AsyncClient, category: str, name: str) -> None:
    assert (await client.post(f"/{category}", json={"stream_name": name})).status_code == 404


async def test_files_are_read_anew(client: httpx2.AsyncClient, directory: Path) -> None:
    assert (await client.post("/live", json={"stream_name": "new"})).status_code == 404
    (directory / "live" / "new.mmids").write_text("")
    assert (await client.post("/live", json={"stream_name": "new"})).status_code == 200


@pytest.mark.parametrize("name", ["", "../top", "..\\top", "a/b", "/etc/passwd", "a\0b", "a\nb", "C:x"])
async def test_a_stream_name_that_is_no_plain_name_is_400(client: httpx2.AsyncClient, name: str) -> None:
    assert (await client.post("/live", json={"stream_name": name})).status_code == 400


@pytest.mark.parametrize("path", ["/live/live", "/%2e%2e", "/..%2f..", "/live%2f..", "/a%5cb", "/a%00b"])
async def test_a_category_that_is_no_plain_name_is_400(client: httpx2.AsyncClient, path: str) -> None:
    body = b'{"stream_name": "secret"}'
    request = client.build_request("POST", client.base_url, content=body)
    request.url = request.url.copy_with(raw_path=path.encode())
    assert (await client.send(request)).status_code == 400


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"stream_name": 1}', b"\xff", b"[" * 60_000])
async def test_what_is_no_question_is_400(client: httpx2.AsyncClient, body: bytes) -> None:
    assert (await client.post("/live", content=body)).status_code == 400


async def test_other_methods_and_large_bodies_are_refused(client: httpx2.AsyncClient) -> None:
    refused = await client.get("/live")
    assert (refused.status_code, "POST" in refused.headers["Allow"]) == (405, True)
    assert (await client.post("/live", content=b"x" * 100_000)).status_code == 413


async def test_a_taken_port_is_a_clear_error(client: httpx2.AsyncClient, directory: Path) -> None:
    port = client.base_url.port
    assert port is not None
    with pytest.raises(CannotListen, match=f"port {port}: the port is in use"):
        await serve_workflows(directory, port, shutdown=trio.Event())


async def test_it_ends_when_asked_to(directory: Path) -> None:
    shutdown = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_workflows, directory, 0, shutdown=shutdown))
            shutdown.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_program(directory: Path, number: signal.Signals) -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        signal.raise_signal(number)

    with trio.fail_after(20):
        await run_until_signal(directory, 0, tell)
    [line] = told
    assert line.startswith("reactor test server: POST http://127.0.0.1:")
