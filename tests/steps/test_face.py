"""What the author of a step or an executor imports comes from `mmids_trio.steps`, and the list is this one."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

import mmids_trio.steps

ROOT = Path(__file__).parents[2]

NAMES = [
    "PLACE",
    "Answer",
    "CannotSwitch",
    "ChangeInPlace",
    "ClientJoined",
    "ClientLeft",
    "Clients",
    "Counts",
    "Distribution",
    "DrainBegan",
    "DrainEnded",
    "Executor",
    "ExecutorFailure",
    "ExecutorKind",
    "FleetFailed",
    "Flow",
    "HlsPaused",
    "HlsResumed",
    "HubEvent",
    "Inbox",
    "KeyLost",
    "KeyMoved",
    "Kind",
    "MediaEvent",
    "MediaKind",
    "MediaPacket",
    "Metric",
    "NoParameters",
    "Outbox",
    "Place",
    "Problem",
    "ReactorAnswered",
    "ReactorDefinition",
    "RegistryCameBack",
    "RegistryWentAway",
    "ReloadRefused",
    "Rendition",
    "Reservation",
    "Secret",
    "SourceView",
    "Step",
    "StepChanged",
    "StepContext",
    "StepDefinition",
    "StepError",
    "StepFactory",
    "StepType",
    "StreamChanged",
    "StreamEnded",
    "StreamId",
    "StreamInterrupted",
    "StreamMetadata",
    "StreamNow",
    "StreamOrigin",
    "StreamRequest",
    "StreamResumed",
    "StreamStalled",
    "StreamStarted",
    "StreamStatus",
    "StreamSwitched",
    "StreamWarning",
    "StreamWentLive",
    "StreamWentOff",
    "Switched",
    "TargetDown",
    "TargetUp",
    "WorkflowChanged",
    "WorkflowDefinition",
    "WorkflowEnded",
    "WorkflowFailed",
    "WorkflowOwner",
    "WorkflowStarted",
    "WorkflowTakenOver",
    "byte_count",
    "choice",
    "duration",
    "flag",
    "networks",
    "one_of",
    "parameter",
    "parse_audio",
    "parse_other",
    "parse_video",
    "port_number",
    "seconds",
    "secret_parameter",
    "switch",
    "text",
    "web_address",
    "whole_number",
]

PAGES_OF_AUTHORS = [ROOT / "docs" / "writing-steps.md", *(ROOT / "examples" / "testing").rglob("*.py")]


def test_the_list_is_this_one() -> None:
    assert list(mmids_trio.steps.__all__) == NAMES
    assert dir(mmids_trio.steps) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_can_be_imported_and_is_no_module(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from mmids_trio.steps import {name}", namespace)
    assert not isinstance(namespace[name], ModuleType)
    with pytest.raises(ModuleNotFoundError):
        import_module(f"mmids_trio.steps.{name}")


def test_types_are_checked_against_the_same_names_that_programs_get() -> None:
    """What stands under `TYPE_CHECKING` is what `__getattr__` finds."""
    tree = ast.parse(Path(mmids_trio.steps.__file__).read_text("utf-8"))
    declared = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module not in ("typing", "mmids_trio.faces")
        for alias in node.names
    }
    assert sorted(declared) == sorted(NAMES)
    for name, module in declared.items():
        assert getattr(mmids_trio.steps, name) is getattr(import_module(str(module)), name)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Stepp'"):
        mmids_trio.steps.Stepp  # type: ignore[attr-defined]  # noqa: B018


def test_nothing_is_imported_before_it_is_used() -> None:
    program = "import sys, mmids_trio.steps; sys.exit(' '.join({'trio', 'attrs'} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("page", PAGES_OF_AUTHORS, ids=lambda page: page.name)
def test_pages_and_examples_import_from_the_faces_alone(page: Path) -> None:
    found = re.findall(r"^\s*(?:from|import) (mmids_trio\.[\w.]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(found) <= {"mmids_trio.steps", "mmids_trio.testing", "mmids_trio.server"}


def types_in(hint: object) -> set[type]:
    """The classes of this package that a type is made of."""
    found = {hint} if isinstance(hint, type) and hint.__module__.startswith("mmids_trio.") else set()
    parts = [part for each in get_args(hint) for part in (each if isinstance(each, list) else [each])]
    return found.union(*map(types_in, parts))


def signatures_of(kind: type) -> Iterator[object]:
    """The functions that others call or write, and the class with its fields."""
    yield kind
    for name, member in inspect.getmembers(kind):
        if name == "__init__" or not name.startswith("_"):
            yield member.fget if isinstance(member, property) else member


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(getattr(mmids_trio.steps, name), type)])
def test_every_type_that_a_name_speaks_of_can_be_imported_too(name: str) -> None:
    exported = {found for each in NAMES if isinstance(found := getattr(mmids_trio.steps, each), type)}
    for signature in signatures_of(getattr(mmids_trio.steps, name)):
        if inspect.isfunction(signature) or inspect.isclass(signature):
            hints = get_type_hints(signature)
            spoken_of = {kind for name, hint in hints.items() if not name.startswith("_") for kind in types_in(hint)}
            assert spoken_of - exported == set()
