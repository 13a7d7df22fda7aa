"""The configuration for nginx on the page, as it stands there: players play through it."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mmids_trio.testing.hls import HlsChecker
from tests.e2e.test_http_hls import Web, workflow
from tests.e2e.test_media import assert_goes_on_from_a_key_frame
from tests.support.ffmpeg import Crew, Recording
from tests.support.program import Launch, curl
from tests.support.sockets import can_listen

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("nginx") is None, reason="not installed: nginx")]

PAGE = Path(__file__).parents[2] / "docs" / "watching.md"
[LOCATION] = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def nginx(tmp_path: Path, free_port: int) -> Iterator[int]:
    """Runs with the page's lines in front of `free_port`; the value is its own port."""
    port = next(port for port in range(free_port + 1, 32_000) if can_listen(port))
    location = LOCATION.replace("127.0.0.1:8080", f"127.0.0.1:{free_port}")
    text = (
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1;\n"
        "events {}\nhttp {\n access_log off;\n"
        + "".join(
            f" {name}_temp_path {tmp_path}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f" server {{\n listen 127.0.0.1:{port};\n {location} }}\n}}\n"
    )
    (tmp_path / "nginx.conf").write_text(text, "utf-8")
    process = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    yield port
    process.terminate()
    assert process.wait(20) == 0


async def test_flv_and_low_latency_hls_go_through(
    launch: Launch, crew: Crew, show: Recording, free_port: int, nginx: int
) -> None:
    program = await launch(workflow(free_port, "dvr=10s"), settings="http_media_proxies 127.0.0.1")
    await crew.publish(show, program.url())
    await program.logged("publisher joined")
    player = await crew.play(f"http://127.0.0.1:{nginx}/live/show.flv")
    await player.gets(45)
    assert_goes_on_from_a_key_frame(player.packets, show)
    web = Web(nginx)
    with trio.fail_after(60):
        report = await HlsChecker(web.get).play("/live/show/index.m3u8", segments=4)
    web.close()
    assert report.problems == []
    answer = await curl(f"http://127.0.0.1:{nginx}/live/show.flv", "--head", "-H", "X-Forwarded-For: 203.0.113.7")
    assert answer.status == 200
