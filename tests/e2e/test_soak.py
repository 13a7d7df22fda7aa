"""A soak of some seconds: everything in it happens, and nothing is left when it is over."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
MINUTES = "0.25"
HANG_SECONDS = 280
"""Twice 90 s for children that do not end, and room: it takes less than a minute."""


def test_what_traffic_takes_is_given_back(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", MINUTES, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "soak.json").read_text("utf-8"))
    assert result["rest_after"]["children"] == 0
    assert {"watchers", "strangers"} <= result["counts"].keys()
