"""`new-step` writes a project where there was none, under a name that nobody has, and nothing elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmids_trio.cli.step_project import project_files
from tests.support.commands import invoke
from tests.support.plugins import STUDIO, imports_undone, write_package


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with imports_undone():
        yield tmp_path / "work"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_project_is_written_into_a_directory_of_its_name(folder: Path) -> None:
    assert invoke("new-step", "own_step").status == 0
    assert files(folder / "own_step") == set(project_files("own_step"))
    assert "def own_step() -> StepType:" in (folder / "own_step" / "src" / "own_step.py").read_text()


def test_a_project_is_written_into_an_empty_directory_that_is_named(folder: Path) -> None:
    (folder / "my step").mkdir()
    done = invoke("new-step", "own_step", "my step")
    assert done.out.splitlines()[1] == "    cd 'my step'"
    assert files(folder / "my step") == set(project_files("own_step"))


def test_what_is_there_is_never_written_over(folder: Path) -> None:
    (folder / "own_step").mkdir()
    (folder / "own_step" / "README.md").write_text("mine")
    done = invoke("new-step", "own_step")
    assert (done.status, done.err) == (1, "error: own_step is not empty; name a directory that is new\n")
    assert files(folder) == {"own_step/README.md"}


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "Own", "own-step", "own.step", "3d", "_own", "own_", "ä" * 3, "own\nstep", "own step", "own\n"),
        *("../out", "a/b", "/tmp/x", ".", "..", "~", "a\\b", "a" * 51, "a" * 5000),
    ],
)
def test_a_name_that_is_no_word_is_refused_and_nothing_is_written(folder: Path, name: str) -> None:
    done = invoke("new-step", "--", name)
    assert done.status == 1
    assert "a name has 2 to 50 small letters, digits and '_', a letter first" in done.err
    assert list(folder.parent.rglob("*")) == [folder]


@pytest.mark.parametrize(("name", "better"), [("own-step", "own_step"), ("OwnStep", "ownstep")])
def test_a_name_that_is_nearly_right_is_told_the_right_one(name: str, better: str) -> None:
    assert invoke("new-step", name).err.endswith(f"; perhaps {better}\n")


@pytest.mark.parametrize("name", ["rtmp_watch", "forward_to_workflow"])
def test_a_name_that_is_built_in_is_refused(name: str) -> None:
    assert invoke("new-step", name).err == f"error: there is a step '{name}' already, of mmids_trio\n"


def test_a_name_of_an_installed_package_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder / "packages")
    write_package(folder / "packages", "studio", STUDIO, steps="passing = studio:passing")
    assert invoke("new-step", "passing").err == "error: there is a step 'passing' already, of studio 1.5\n"


@pytest.mark.parametrize("name", ["json", "trio", "class", "tests", "mmids_trio"])
def test_a_name_that_python_has_is_refused(folder: Path, name: str) -> None:
    done = invoke("new-step", name)
    assert f"Python has a word or a module '{name}' already" in done.err
    assert files(folder) == set()


def test_a_directory_that_cannot_be_made_is_one_message(folder: Path) -> None:
    done = invoke("new-step", "own_step", "not/there")
    assert (done.status, done.err) == (1, "error: cannot write not/there: No such file or directory\n")
    (folder / "file").touch()
    assert invoke("new-step", "own_step", "file").err == "error: cannot write file: File exists\n"


def test_the_project_is_written_in_the_form_that_this_one_has(folder: Path) -> None:
    for path, text in project_files("own_step").items():
        assert "NAME" not in text.replace("*.egg-info", "")
        assert all(len(line) <= 120 for line in text.splitlines() if not path.endswith(".md"))
