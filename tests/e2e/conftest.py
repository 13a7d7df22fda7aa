"""Servers, publishers and players for tests with real processes on real sockets.

Every server that a test launches must end well: by itself, with nobody's traceback in its log. That this takes five
seconds at most is for tests in virtual time: here the machine may be busy.
"""

import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.support.ffmpeg import Crew, Recording, record, record_noise
from tests.support.packages import build_wheel
from tests.support.program import Launch, Program, serve
from tests.support.sockets import find_free_port

PROGRAMS = ("ffmpeg", "ffprobe", "rtmpdump", "curl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without the programs there is nothing to test with."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def show(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A minute to publish: longer than any test."""
    return record(tmp_path_factory.mktemp("media") / "show.flv", 60)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two seconds to publish from the beginning to the end."""
    return record(tmp_path_factory.mktemp("media") / "clip.flv", 2)


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Ten seconds of more than a player that does not read can swallow."""
    return record_noise(tmp_path_factory.mktemp("media") / "noise.flv", 10)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built."""
    return build_wheel(tmp_path_factory.mktemp("package"))


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago."""
    return find_free_port()


@pytest.fixture
async def launch(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Launch]:
    """Starts a server with the given workflows; at the end of the test it stops, as it has to."""
    programs: list[Program] = []

    async def start_server(workflows: str = "", *, settings: str = "") -> Program:
        directory = tmp_path / f"server{len(programs)}"
        directory.mkdir()
        program = await serve(nursery, directory, workflows, settings=settings)
        programs.append(program)
        return program

    yield start_server
    for program in programs:
        await _end(program)


async def _end(program: Program) -> None:
    if program.child.is_running:
        program.child.send(signal.SIGTERM)
    status = await program.child.end()
    assert (status, "Traceback" in program.child.err.text) == (0, False), program.child.err.text


@pytest.fixture
def crew(nursery: trio.Nursery) -> Crew:
    """Publishers and players, all gone with the test."""
    return Crew(nursery)
