"""The package as others install it: wheel and source, built here, in environments that have nothing else.

An environment gets what the wheel declares to need, and nothing more of the one that the tests run in: what is imported
and not declared, or left out of the wheel, is missed there.
"""

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.program import ROOT

BUILD_SECONDS = 120


def build(kind: str, source: Path, target: Path) -> Path:
    """A `wheel` or an `sdist` of the sources, as pip has the build back end make it."""
    call = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    target.mkdir()
    subprocess.run(
        [sys.executable, "-c", call, str(target)], cwd=source, check=True, capture_output=True, timeout=BUILD_SECONDS
    )
    [made] = target.iterdir()
    return made


def build_sdist(folder: Path) -> Path:
    """The source distribution, made of a copy: building writes beside the sources."""
    copy = folder / "sources"
    for path in (*ROOT.glob("mmids_trio/**/*"), *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))):
        name = str(path.relative_to(ROOT))
        if path.is_file() and path.suffix != ".pyc":
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    return build("sdist", copy, folder / "sdist")


def build_wheel(folder: Path) -> Path:
    """The wheel, made of what the source distribution holds."""
    with tarfile.open(build_sdist(folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [source] = (folder / "unpacked").iterdir()
    return build("wheel", source, folder / "wheel")


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


def make_environment(folder: Path, wheel: Path, more: Sequence[str] = ()) -> Path:
    """The folder of programs of a new environment with the wheel, and with what it and `more` declare to need."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.check_output(where, text=True).strip())
    for name in declared([*requirements_of(wheel), *more]):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / top).exists():
                (packages / top).symlink_to(str(distribution.locate_file(top)))
    install(python, "--no-index", str(wheel))
    return folder / "bin"


def install(python: Path, *arguments: str) -> None:
    """Have pip install something by itself into the environment of `python`."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=BUILD_SECONDS)


def run(*command: str | Path, directory: Path, status: int = 0) -> str:
    """What a command prints, from outside of the checkout and with nothing of its environment."""
    variables = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=directory, env=variables, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout
