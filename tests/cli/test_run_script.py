"""`scripts/run`: what it makes of its arguments, in a checkout whose environment is there already."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
ECHO = '#!/bin/sh\n[ "$1" = -c ] || printf "%s\\n" "$PWD" "$@"\n'
"""A Python that tells where it was started, and how."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with such a Python, which counts as installed."""
    root = tmp_path / "checkout"
    for folder in ("scripts", "requirements", ".venv/bin", "examples"):
        (root / folder).mkdir(parents=True)
    for name in ("run", "environment.sh"):
        shutil.copy(SCRIPTS / name, root / "scripts")
    for name in ("pyproject.toml", "requirements/run.txt"):
        (root / name).write_text("")
    (root / ".venv" / "bin" / "python").write_text(ECHO)
    (root / ".venv" / "bin" / "python").chmod(0o755)
    fingerprint = subprocess.check_output(["bash", "-c", f". {root}/scripts/environment.sh; fingerprint"], text=True)
    (root / ".venv" / "installed").write_text(f"run {fingerprint}")
    return root


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("talks.mmids", "--config talks.mmids"),
        ("missing.mmids -h", "--config missing.mmids -h"),
        ("./plain", "--config ./plain"),
        ("plain", "--config plain"),
        ("--config talks.mmids", "--config talks.mmids"),
        ("check talks.mmids", "check talks.mmids"),
        ("--server host:9011 list", "--server host:9011 list"),
    ],
)
def test_a_file_is_run_and_all_else_is_passed_on_from_where_it_was_said(
    checkout: Path, tmp_path: Path, given: str, passed: str
) -> None:
    (tmp_path / "plain").write_text("")
    said = subprocess.check_output([checkout / "scripts" / "run", *given.split()], cwd=tmp_path, text=True).splitlines()
    assert said == [str(tmp_path), "-m", "mmids_trio", *passed.split()]


@pytest.mark.parametrize("given", ["", "--version"])
def test_without_a_file_it_runs_the_first_example_in_the_checkout(checkout: Path, tmp_path: Path, given: str) -> None:
    said = subprocess.check_output([checkout / "scripts" / "run", *given.split()], cwd=tmp_path, text=True).splitlines()
    assert said == [str(checkout), "-m", "mmids_trio", "--config", "examples/simple.mmids", *given.split()]
