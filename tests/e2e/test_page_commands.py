"""Every command that the documentation and the examples show runs as it stands, in a fresh directory.

The directory looks like a checkout that has been set up.  Ports of pages are fixed (1935, 9011), so each page runs in a
network of its own where the system allows it; elsewhere these ports have to be free.
"""

import os
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.pages import HEADS, PAGES, ROOT, blocks, script

pytestmark = pytest.mark.e2e

RUNNER = ROOT / "tests" / "support" / "runner.sh"
PAGE_SECONDS = 90
"""For one page; the longest takes a fifth of it."""

ALONE = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""In a network and with process ids of its own: nothing is left of it."""

PORTS = (1935, 1936, 9011, 9055)

RUN = [page for page in (*PAGES, *HEADS) if any(block.not_run is None for block in blocks(page))]


@cache
def is_alone() -> bool:
    """Whether pages may have networks of their own."""
    command = [*ALONE, "sh", "-c", "ip link set lo up"]
    return (
        all(map(shutil.which, ("unshare", "ip")))
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def are_free(ports: tuple[int, ...]) -> bool:
    """Whether nobody listens on any of them."""
    for port in ports:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                return False
    return True


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to publish, as pages call it."""
    file = tmp_path_factory.mktemp("media") / "talk.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *source, *codecs, "-t", "60", str(file)], check=True)
    return file


@pytest.fixture
def checkout(tmp_path: Path, talk: Path) -> Path:
    """What a reader has: the checkout with its environment, `mmids_trio` on the PATH, and something to publish."""
    for folder in ("scripts", "examples", "deploy", "requirements"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "logs"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(talk, tmp_path / "talk.mp4")
    _write_program(tmp_path / ".venv" / "bin" / "python", f'exec "{sys.executable}" "$@"')
    for name in ("python", "python3"):
        _write_program(tmp_path / "bin" / name, f'exec "{sys.executable}" "$@"')
    _write_program(tmp_path / "bin" / "mmids_trio", f'exec "{sys.executable}" -m mmids_trio "$@"')
    curl = shutil.which("curl")
    _write_program(tmp_path / "bin" / "curl", f'exec "{curl}" --silent --show-error --fail-with-body "$@"')
    stamp = ["bash", "-c", f'. "{tmp_path}/scripts/environment.sh"; printf "run %s" "$(fingerprint)" >"$stamp"']
    subprocess.run(stamp, check=True)
    return tmp_path


def _write_program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run_as_they_stand(page: Path, checkout: Path) -> None:
    if not is_alone() and not are_free(PORTS):
        pytest.skip("the ports of the pages are taken")
    text = f"exec 3>where\n{RUNNER.read_text()}\n{script(page)}\nat 'the end'\nstop\n"
    (checkout / "page.sh").write_text(text)
    prefix = [*ALONE, "sh", "-c", 'ip link set lo up && exec "$@"', "-"] if is_alone() else []
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MMIDS_", "mmids_", "PYTEST"))},
        "PATH": f"{checkout / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "SDL_VIDEODRIVER": "dummy",
        "SDL_AUDIODRIVER": "dummy",
    }
    with (checkout / "said").open("wb") as said:
        try:
            status = subprocess.run(
                [*prefix, "bash", "page.sh"],
                cwd=checkout,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=PAGE_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
    where = (checkout / "where").read_text().splitlines()[-1:]
    assert (status, where) == (0, ["the end"]), (checkout / "said").read_text("utf-8", "replace")[-8000:]
