"""The package as others install it: wheel and source, built here, in an environment that has nothing else.

That environment gets what the wheel declares to need, and nothing more of the one that the tests run in: what is
imported and not declared, or left out of the wheel, is missed here.
"""

import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import trio
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.ffmpeg import GOP_FRAMES, Crew, Recording
from tests.support.processes import start
from tests.support.program import ROOT

pytestmark = pytest.mark.e2e

BUILD_SECONDS = 120
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
WORKFLOW = """workflow live {
    rtmp_receive rtmp_app=live stream_key=* port=0
    rtmp_watch rtmp_app=live stream_key=* port=0
}
"""


def build(kind: str, source: Path, target: Path) -> Path:
    """A `wheel` or an `sdist` of the sources, as pip has the build back end make it."""
    call = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    target.mkdir()
    subprocess.run(
        [sys.executable, "-c", call, str(target)], cwd=source, check=True, capture_output=True, timeout=BUILD_SECONDS
    )
    [made] = target.iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made of a copy: building writes beside the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for path in (*ROOT.glob("mmids_trio/**/*"), *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))):
        name = str(path.relative_to(ROOT))
        if path.is_file() and path.suffix != ".pyc":
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    return build("sdist", copy, tmp_path_factory.mktemp("sdist") / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made of what the source distribution holds."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [source] = folder.iterdir()
    return build("wheel", source, folder / "dist")


def declared(requirements: list[str]) -> Iterator[str]:
    """Names of what is needed, and of what that needs, without any extra."""
    wanted, seen = list(requirements), set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        yield name
        wanted += metadata.requires(name) or []
        for extra in requirement.extras:
            wanted += [
                each.split(";")[0]
                for each in metadata.requires(name) or []
                if (marker := Requirement(each).marker) and marker.evaluate({"extra": extra})
            ]


def requirements_of(wheel: Path) -> list[str]:
    """What the wheel says that it needs."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return metadata.PathDistribution(zipfile.Path(archive, name.removesuffix("METADATA"))).requires or []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and what it declares to need."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.check_output(where, text=True).strip())
    for name in declared(requirements_of(wheel)):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution.locate_file(top)))
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=BUILD_SECONDS)
    return folder / "bin"


def run(*command: str | Path, directory: Path) -> str:
    """What a command prints, from outside of the checkout and with nothing of its environment."""
    variables = {"PATH": "/usr/bin:/bin"}
    return subprocess.check_output(command, cwd=directory, env=variables, text=True, timeout=BUILD_SECONDS)


def test_the_wheel_needs_no_ffmpeg_and_has_an_extra_that_brings_one(wheel: Path) -> None:
    assert wheel.name.startswith(f"mmids_trio-{VERSION}-")
    [needed] = [Requirement(each) for each in requirements_of(wheel) if "imageio" in each]
    assert needed.marker is not None
    assert not needed.marker.evaluate({"extra": ""})
    assert needed.marker.evaluate({"extra": "ffmpeg"})
    locked = (ROOT / "requirements" / "run.txt").read_text()
    assert "imageio-ffmpeg==" in locked, "scripts/run and the container install it"


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
