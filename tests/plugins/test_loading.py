"""Kinds come from installed packages, and from modules that are named; what fails is one message."""

import sys
from pathlib import Path

import pytest

from mmids_trio.config.settings import Settings
from mmids_trio.owners import NameTaken
from mmids_trio.plugins.loading import CannotLoad, Plugins, installed
from mmids_trio.server.building import build_server
from mmids_trio.steps import ExecutorKind, NoParameters, StepType
from mmids_trio.testing import Recorder
from tests.support.plugins import LISTED, STUDIO, write_package


def load(*names: str) -> Plugins:
    return Plugins().with_modules(names, Path())


def owners(plugins: Plugins) -> dict[str, str]:
    kinds: list[StepType | ExecutorKind] = [*plugins.steps, *plugins.executors]
    return {kind.name: kind.owner for kind in kinds}


@pytest.fixture
def packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are installed."""
    monkeypatch.syspath_prepend(folder / "packages")
    return folder / "packages"


def test_an_installed_package_brings_its_kinds(packages: Path) -> None:
    write_package(packages, "studio", STUDIO, steps="passing = studio:passing", executors="nods = studio:nods")
    assert owners(installed()) == {"passing": "studio 1.5", "nods": "studio 1.5"}


def test_an_entry_point_may_name_a_kind_itself(packages: Path) -> None:
    write_package(packages, "studio", STUDIO + LISTED + "\nKIND = passing()\n", steps="passing = studio:KIND")
    assert owners(installed()) == {"passing": "studio 1.5"}


def test_a_module_brings_what_it_lists_once(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO + LISTED)
    assert owners(load("studio", "studio")) == {"passing": "module studio", "nods": "module studio"}
    assert load("studio").modules == ("studio",)


def test_a_module_is_found_in_the_directory_that_is_looked_in_last(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "studio.py").write_text(STUDIO + LISTED)
    assert Plugins().with_modules(["studio"], folder / "below").modules == ("studio",)
    assert sys.path[-1] == str(folder / "below")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found' (%s, line 1)"),
        ("x = 1\n\nx / 0", "ZeroDivisionError: division by zero (%s, line 3)"),
        ("def (", "SyntaxError: "),
        ("import sys\nsys.exit(3)", "SystemExit: 3 (%s, line 2)"),
        ("raise Exception('a\\nb\\x1b')", "Exception: a b\\x1b (%s, line 1)"),
        ("", "has neither STEPS nor EXECUTORS; a line such as `STEPS = [my_step()]`"),
        ("STEPS = 1", "expected STEPS of the module 'studio' to be a list; found the type 'int'"),
        (
            STUDIO + "STEPS = [passing]",
            "expected a StepType at every place of STEPS of the module 'studio'; found a fun",
        ),
        (
            STUDIO + "EXECUTORS = [passing()]",
            "expected an ExecutorKind at every place of EXECUTORS of",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_told_in_one_line(folder: Path, text: str, says: str) -> None:
    (folder / "studio.py").write_text(text)
    with pytest.raises(CannotLoad) as caught:
        load("studio")
    message = str(caught.value)
    assert says.replace("%s", str(folder / "studio.py")) in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["nowhere", "nowhere.below"])
def test_a_module_that_is_not_there_is_told_with_where_it_was_looked_for(folder: Path, name: str) -> None:
    with pytest.raises(CannotLoad, match=f"there is no module '{name}' where Python looks .*, nor in {folder}"):
        load(name)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ("passing = studio:gone", "AttributeError: module 'studio' has no attribute 'gone'"),
        (
            "passing = studio:nods",
            "expected a StepType, or a function without parameters that returns one; found the type",
        ),
        ("passing = studio:nodding", "TypeError: nodding() missing 1 required positional argument"),
        ("passing = elsewhere:x", "No module named 'elsewhere'"),
    ],
)
def test_a_package_that_cannot_be_used_is_told_with_its_entry_point(packages: Path, steps: str, says: str) -> None:
    write_package(packages, "studio", STUDIO, steps=steps)
    with pytest.raises(CannotLoad) as caught:
        installed()
    assert str(caught.value).startswith(f"cannot load the entry point '{steps}' of studio 1.5: ")
    assert says in str(caught.value)


def test_a_name_that_is_built_in_is_taken(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO.replace('"passing"', '"rtmp_watch"') + LISTED)
    says = "two kinds of steps are called 'rtmp_watch': one of mmids_trio, and one of module studio"
    with pytest.raises(NameTaken, match=says):
        build_server(Settings(), more_steps=load("studio").steps)


def test_a_name_that_two_have_is_told_with_both(packages: Path, folder: Path) -> None:
    write_package(packages, "studio", STUDIO, steps="passing = studio:passing", executors="nods = studio:nods")
    (folder / "other.py").write_text(STUDIO + LISTED)
    found = installed().with_modules(["other"], folder)
    with pytest.raises(NameTaken, match=r"steps are called 'passing': one of studio 1.5, and one of module other"):
        build_server(Settings(), more_steps=found.steps)
    with pytest.raises(NameTaken, match=r"executors are called 'nods': one of studio 1.5, and one of module other"):
        build_server(Settings(), more_executors=found.executors)


def test_another_spelling_of_a_built_in_name_is_taken_too(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO.replace('"passing"', '"forward_to_workflow"') + LISTED)
    with pytest.raises(NameTaken, match="'forward_to_workflow': one of mmids_trio"):
        build_server(Settings(), more_steps=load("studio").steps)


def test_kinds_that_a_program_brings_itself_have_the_module_as_their_owner(folder: Path) -> None:
    (folder / "studio.py").write_text(STUDIO + LISTED)
    [kind] = load("studio").steps
    other = StepType("passing", NoParameters, lambda _parameters, _context: Recorder())
    with pytest.raises(NameTaken, match=r"one of module studio, and one of module .*test_loading"):
        build_server(Settings(), more_steps=[kind, other])
