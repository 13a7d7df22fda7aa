"""The package as others install it: what is imported and not declared, or left out of the wheel, is missed here."""

import tomllib
import zipfile
from pathlib import Path

import pytest
import trio
from packaging.requirements import Requirement

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording
from tests.support.packages import make_environment, requirements_of, run
from tests.support.processes import start
from tests.support.program import ROOT

pytestmark = pytest.mark.e2e

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and what it declares to need."""
    return make_environment(tmp_path_factory.mktemp("installed") / "environment", wheel)


def test_the_wheel_needs_no_ffmpeg_and_has_an_extra_that_brings_one(wheel: Path) -> None:
    assert wheel.name.startswith(f"mmids_trio-{VERSION}-")
    [needed] = [Requirement(each) for each in requirements_of(wheel) if "imageio" in each]
    assert needed.marker is not None
    assert not needed.marker.evaluate({"extra": ""})
    assert needed.marker.evaluate({"extra": "ffmpeg"})
    locked = (ROOT / "requirements" / "run.txt").read_text()
    assert "imageio-ffmpeg==" in locked, "scripts/run and the container install it"


def test_the_wheel_has_the_page_and_the_players_that_come_along_with_their_licences(wheel: Path) -> None:
    folder = ROOT / "mmids_trio" / "delivery" / "page" / "files"
    there_are = {str(path.relative_to(ROOT)) for path in folder.rglob("*") if path.is_file()}
    assert len(there_are) >= 10
    with zipfile.ZipFile(wheel) as archive:
        assert there_are <= set(archive.namelist())


def test_the_installed_program_tells_its_version_and_checks_files(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "live.mmids").write_text(WORKFLOW)
    for program in ((installed / "mmids_trio",), (installed / "python", "-m", "mmids_trio")):
        assert run(*program, "--version", directory=tmp_path) == f"mmids_trio {VERSION}\n"
        assert run(*program, "check", "live.mmids", directory=tmp_path).startswith("live.mmids: no errors, 1 workflow")
    where = run(installed / "python", "-c", "import mmids_trio; print(mmids_trio.__file__)", directory=tmp_path)
    assert where.startswith(str(installed.parent))


async def test_what_is_published_to_the_installed_program_is_watched(
    installed: Path, tmp_path: Path, nursery: trio.Nursery, crew: Crew, show: Recording
) -> None:
    file = tmp_path / "live.mmids"
    file.write_text(WORKFLOW)
    command = [str(installed / "mmids_trio"), "--config", str(file)]
    server = await start(nursery, command, name="installed", directory=tmp_path)
    url = (await server.out.line("publish +rtmp://")).split()[1].replace("KEY", "show")
    await crew.publish(show, url)
    await server.err.line("publisher joined")
    player = await crew.play(url)
    await player.gets(GOP_FRAMES)
    server.process.terminate()
    assert await server.end() == 0
