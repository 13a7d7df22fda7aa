"""The pytest plugin as other projects meet it: in a process that knows nothing of this suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HANG_SECONDS = 60
PLUGIN = "mmids_trio.testing.plugin"

UNUSED = """
import sys

def test_nothing_but_the_plugin_is_there():
    assert "mmids_trio.testing.plugin" in sys.modules
    ours = {name for name in sys.modules if name.startswith("mmids_trio.")}
    assert ours == {"mmids_trio.faces", "mmids_trio.testing", "mmids_trio.testing.plugin"}  # the first imports nothing
    assert not {"trio", "quart", "hypercorn", "attrs", "structlog"} & set(sys.modules)
"""


def run(source: str, folder: Path, *options: str) -> str:
    """What pytest prints for one file of tests in a folder of its own; they pass."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(source)
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.e2e
def test_nothing_is_imported_for_who_does_not_use_it(tmp_path: Path) -> None:
    # Those import trio, or what it stands on, for everybody.
    names = ("trio", "hypothesispytest", "anyio", "schemathesis")
    others = [option for name in names for option in ("-p", f"no:{name}")]
    assert "1 passed" in run(UNUSED, tmp_path, *others)
