"""Checkers of types take all Python that the documentation shows, and what `new-step` writes, as a stranger has it.

mypy and pyright see the package as a user's checker does: by its public faces, and by whatever these export.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from mmids_trio.cli.step_project import project_files
from tests.support.program import ROOT

pytestmark = pytest.mark.e2e

FRAGMENTS = {"test-your-workflow.md": "blocks of examples/testing, which is checked as a whole"}
"""Pages whose Python is no module, and why nothing is lost."""

CHECK_SECONDS = 300


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every page as a module, and with the examples and a new project as projects of their own."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "pages").mkdir()
    for page in (*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")):
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
        if blocks and page.name not in FRAGMENTS:
            (folder / "pages" / f"page_{page.stem.replace('-', '_')}.py").write_text("\n".join(blocks), "utf-8")
    for name in ("testing", "load_balancing"):
        copytree(ROOT / "examples" / name, folder / name, ignore=ignore_patterns("__pycache__"))
    for path, text in project_files("own_step").items():
        (folder / "own_step" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "own_step" / path).write_text(text, "utf-8")
    return folder


def test_there_is_python_to_check(stranger: Path) -> None:
    assert len([*(stranger / "pages").iterdir()]) >= 6
    assert len([*stranger.rglob("test_*.py")]) >= 3


@pytest.mark.parametrize(
    ("project", "paths"),
    [("pages", ["."]), ("testing", ["."]), ("load_balancing", ["."]), ("own_step", ["src", "tests"])],
)
def test_mypy_has_nothing_to_say_in_its_strict_mode(stranger: Path, project: str, paths: list[str]) -> None:
    folder = stranger / project
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--explicit-package-bases",
        "--cache-dir",
        str(stranger / "cache"),
    ]
    found = {"MYPYPATH": f"{ROOT}:{folder}:{folder / 'src'}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, *paths], cwd=folder, env=found, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_has_nothing_to_say_in_its_strict_mode(stranger: Path) -> None:
    environments = [
        {"root": project, "extraPaths": [str(ROOT), project, f"{project}/src"]}
        for project in ("pages", "testing", "load_balancing", "own_step")
    ]
    settings = {
        "typeCheckingMode": "strict",
        "extraPaths": [str(ROOT)],  # also for the package itself, which is in none of the environments
        "executionEnvironments": environments,
        "reportMissingModuleSource": "none",
    }
    (stranger / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=stranger, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= 10
    found = [
        f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
    ]
    assert found == []
