"""What a server imports: nothing for what it does not do, as each start and its memory would pay for it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.server import Settings, build_server

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, sys
from collections.abc import Sequence
import trio
from mmids_trio.__main__ import load_server
load_server()
from mmids_trio.config.parser import parse
from mmids_trio.server import Settings, World, build_server
from mmids_trio.testing.network import MemoryNetwork

LIVE = "workflow live {\\n    rtmp_receive rtmp_app=live stream_key=*\\n    rtmp_watch rtmp_app=live stream_key=*\\n}"

class Noting(MemoryNetwork):
    at_the_port = ()
    def listen(self, *arguments, **options):
        Noting.at_the_port = tuple(sys.modules)
        return super().listen(*arguments, **options)

async def main() -> None:
    settings = Settings(http_api_port=0 if sys.argv[1] == "api" else None, http_api_host="127.0.0.1")
    server = build_server(settings, world=World(network=Noting()))
    workflows = [server.workflows.validate(each) for each in parse(LIVE, "test").workflows]
    async with trio.open_nursery() as nursery:
        for change in await nursery.start(server.run, workflows):
            await change.wait_outcome()
        running = tuple(sys.modules)
        server.stop()
    print(json.dumps([Noting.at_the_port, running]))

trio.run(main)
"""

PUT = """
import importlib.abc, json, sys, threading
import trio
from mmids_trio.config.parser import parse
from mmids_trio.server import Settings, World, build_server
from mmids_trio.testing.network import MemoryNetwork

class Noting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        self.on_the_loop[name] = threading.current_thread() is threading.main_thread()

async def main() -> None:
    server = build_server(Settings(), world=World(network=MemoryNetwork()))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        client = server.http_app.test_client()
        sys.meta_path.insert(0, Noting())
        imported = []
        for path, body in json.loads(sys.argv[1]):
            Noting.on_the_loop = {}
            answer = await client.put(path, data=body, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 200, await answer.get_data(as_text=True)
            imported.append(Noting.on_the_loop)
        server.stop()
    print(json.dumps(imported))

trio.run(main)
"""

HTTP_SERVER = {"quart", "quart_trio", "flask", "werkzeug", "jinja2", "hypercorn", "h2", "h11", "wsproto"}
HTTP_CLIENT = {"httpx2", "mmids_trio.webhook.webhook"}
CERTIFICATES_AND_TOKENS = {"cryptography", "jwt", "mmids_trio.net.identity"}
WHEN_ASKED = {"prometheus_client", "segno", "mmids_trio.qr"}
OF_CONSOLES = {"rich"}
OF_SOME_STEPS = {
    "mmids_trio.continuity.slate",
    "mmids_trio.rtmp.client.client",
    "mmids_trio.steps.edge_pulls",
    "mmids_trio.steps.edge_watch",
    "mmids_trio.steps.failover",
    "mmids_trio.steps.fed_streams",
    "mmids_trio.steps.ffmpeg_hls",
    "mmids_trio.steps.ffmpeg_transcode",
    "mmids_trio.steps.http_watch",
    "mmids_trio.steps.rtmp_pull",
    "mmids_trio.steps.rtmp_push",
}
CLIENT_LIBRARIES = {"httpx2", "httpcore2", "h11", "anyio", "certifi"}
OF_CLUSTERS = {"coredis", "mmids_trio.cluster.membership", "mmids_trio.cluster.memory"}

MOST_OF_OURS = 262
"""Modules of this package in a server without an API. If you add one that few servers need, see `late`."""


def imported(kind: str) -> tuple[set[str], set[str]]:
    """Modules when the port for RTMP is opened, and when everything runs."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], cwd=ROOT, check=True, capture_output=True, text=True)
    at_the_port, running = json.loads(done.stdout.splitlines()[-1])
    return set(at_the_port), set(running)


@pytest.fixture(scope="module")
def plain() -> tuple[set[str], set[str]]:
    return imported("plain")


@pytest.fixture(scope="module")
def with_api() -> tuple[set[str], set[str]]:
    return imported("api")


@pytest.mark.thorough
def test_a_plain_server_imports_nothing_that_it_does_not_need(
    plain: tuple[set[str], set[str]],
) -> None:
    _, running = plain
    not_needed = HTTP_SERVER | HTTP_CLIENT | CERTIFICATES_AND_TOKENS | WHEN_ASKED
    assert running & (not_needed | OF_CLUSTERS | OF_CONSOLES | OF_SOME_STEPS) == set()


def test_a_plain_server_has_few_modules(plain: tuple[set[str], set[str]]) -> None:
    _, running = plain
    assert len([name for name in running if name.startswith("mmids_trio.")]) <= MOST_OF_OURS


@pytest.mark.thorough
def test_publishers_can_connect_before_the_api_is_imported(with_api: tuple[set[str], set[str]]) -> None:
    at_the_port, running = with_api
    assert at_the_port & HTTP_SERVER == set()
    assert running >= HTTP_SERVER


@pytest.mark.thorough
def test_an_api_needs_no_client_no_certificates_and_no_metrics_before_somebody_asks(
    with_api: tuple[set[str], set[str]],
) -> None:
    _, running = with_api
    assert running & (HTTP_CLIENT | CERTIFICATES_AND_TOKENS | WHEN_ASKED | OF_CONSOLES | OF_SOME_STEPS) == set()


@pytest.mark.thorough
def test_what_a_change_needs_first_is_imported_beside_the_loop() -> None:
    steps = "    rtmp_receive rtmp_app=live stream_key=*\n    ffmpeg_hls path=/nowhere\n"
    asks = "    rtmp_receive rtmp_app=other stream_key=* reactor=r\n    http_watch app=other stream_key=*\n"
    reactor = "reactor r executor=simple_http update_interval=0 {\n    url http://192.0.2.1/\n}\n"
    requests = [
        ("/config", f"{reactor}workflow w {{\n{asks}}}\n"),
        ("/workflows?dry_run=true", f"workflow w {{\n{steps}}}\n"),
    ]
    command = [sys.executable, "-c", PUT, json.dumps(requests)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert (first["mmids_trio.steps.http_watch"], first["httpx2"], first["httpcore2"]) == (False, False, False)
    assert second["mmids_trio.steps.ffmpeg_hls"] is False
    of_late = OF_SOME_STEPS | CLIENT_LIBRARIES
    assert [name for name, is_on_the_loop in {**first, **second}.items() if is_on_the_loop and name in of_late] == []


def test_an_auth_url_of_a_step_has_its_client_made_beside_the_loop() -> None:
    server = build_server(Settings())
    (guarded,) = parse(
        "workflow w {\n    rtmp_receive rtmp_app=a stream_key=* auth_url=http://192.0.2.1/\n}", ""
    ).workflows
    (open_to_all,) = parse("workflow w {\n    rtmp_receive rtmp_app=a stream_key=*\n}", "").workflows
    assert [*server.steps.works(guarded)] == [server.guards.web.prepare]
    assert [*server.steps.works(open_to_all)] == []


def test_a_library_that_was_left_out_can_be_imported_afterwards() -> None:
    program = """
from mmids_trio.late import without
import sys
with without("rich"):
    try:
        import rich
    except ImportError:
        print("left out")
import rich
with without("rich"):
    assert sys.modules["rich"] is rich
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "left out\n"
