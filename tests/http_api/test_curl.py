"""The API driven by curl as an operator would: its default content type, and what it gets that asks for HTTP/2."""

import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

WORKFLOW = "workflow w {\n    rtmp_watch rtmp_app=live stream_key=*\n}\n"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


async def curl(*arguments: str) -> str:
    """Body and status of one call, as `<body>|<status>`."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", "20", "--write-out", "|%{http_code}", *arguments]
    run = partial(trio.run_process, command, capture_stdout=True, capture_stderr=True, check=False)
    result: subprocess.CompletedProcess[bytes] = await run()
    return result.stdout.decode()


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
async def test_curl_starts_shows_and_stops_a_workflow(
    served: Any, workflows: Any, tmp_path: Path, protocol: str
) -> None:
    file = tmp_path / "w.mmids"
    file.write_text(WORKFLOW)
    url = f"http://127.0.0.1:{served.port}"
    assert await curl(protocol, url + "/") == "Mmids version 1.2.3|200"
    put = await curl(protocol, "-X", "PUT", "--data-binary", f"@{file}", url + "/workflows")
    assert put.startswith('{"workflow": "w"')
    assert put.endswith("|200")
    assert await curl(protocol, url + "/workflows") == '[{"name": "w"}]\n|200'
    assert await curl(protocol, "-X", "DELETE", url + "/workflows/w") == "|200"
    assert await curl(protocol, url + "/workflows/w") == '{"error": "Workflow not found"}\n|404'


async def test_curl_gets_the_413_of_a_large_upload(served: Any, tmp_path: Path) -> None:
    file = tmp_path / "large.mmids"
    file.write_bytes(bytes(8_000_000))
    put = await curl("--upload-file", str(file), f"http://127.0.0.1:{served.port}/workflows")
    assert put.endswith("|413")


async def test_curl_with_prior_knowledge_of_http2_fails(served: Any) -> None:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--http2-prior-knowledge"]
    run = partial(trio.run_process, capture_stdout=True, capture_stderr=True, check=False)
    result: subprocess.CompletedProcess[bytes] = await run([*command, f"http://127.0.0.1:{served.port}/"])
    assert result.returncode != 0
    assert result.stdout == b""
