"""The example project on testing: its tests pass, in a process and a folder of their own, as they do for others."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 120


@pytest.mark.e2e
def test_the_tests_of_the_example_project_pass(tmp_path: Path) -> None:
    folder = shutil.copytree(
        ROOT / "examples" / "testing", tmp_path / "studio", ignore=shutil.ignore_patterns("__pyc*")
    )
    # The plugin is named for checkouts that are not installed; elsewhere its entry point has loaded it already.
    command = [sys.executable, "-m", "pytest", "-p", "mmids_trio.testing.plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^=+ 9 passed in ", done.stdout, re.MULTILINE)
