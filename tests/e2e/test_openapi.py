"""The document at /openapi.json, held against a real server by schemathesis: it must find nothing."""

import re
import shutil
import sys
from functools import partial
from pathlib import Path
from subprocess import STDOUT, CompletedProcess

import pytest
import trio

from tests.support.program import ROOT, Launch

TOKEN = "s3cret"
RUN_SECONDS = 180
CONFIGURATION = """
reactor show executor=simple_http {
    url http://127.0.0.1:9/
}
workflow show {
    rtmp_receive rtmp_app=live stream_key=show port=0
    failover primary=main backup=spare output=show after=2
    rtmp_watch rtmp_app=live stream_key=show port=0
}
"""

_BESIDE_PYTHON = Path(sys.executable).with_name("schemathesis")
SCHEMATHESIS = str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else shutil.which("schemathesis")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed"),
]


async def test_schemathesis_finds_nothing(launch: Launch, tmp_path: Path) -> None:
    program = await launch(CONFIGURATION, settings=f"http_api_token {TOKEN}")
    command = [
        *(str(SCHEMATHESIS), "--config-file", str(ROOT / "tests/e2e/schemathesis.toml"), "run"),
        *(f"{program.api}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
        *("--exclude-path", "/events"),  # endless; what is special about it is in tests/http_api/test_events.py
        *("--max-examples", "20", "--seed", "1", "--continue-on-failure", "--no-color"),
    ]
    environment = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(ROOT), "PATH": ""}
    run = partial(
        trio.run_process, command, capture_stdout=True, stderr=STDOUT, check=False, cwd=tmp_path, env=environment
    )
    with trio.fail_after(RUN_SECONDS):
        done: CompletedProcess[bytes] = await run()
    said = done.stdout.decode()
    assert done.returncode == 0, said
    assert "Warnings:" not in said, said
    cases = re.search(r"(\d+) generated, (\d+) passed", said)
    assert cases is not None, said
    assert int(cases[1]) == int(cases[2]) > 500
