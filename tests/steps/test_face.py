"""What the author of a step or an executor imports comes from `mmids_trio.steps`, and the list is this one."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import mmids_trio.steps

ROOT = Path(__file__).parents[2]

NAMES = [
    "Answer",
    "CannotSwitch",
    "ChangeInPlace",
    "Clients",
    "Counts",
    "Executor",
    "ExecutorFailure",
    "ExecutorKind",
    "Flow",
    "HubEvent",
    "Inbox",
    "MediaEvent",
    "MediaKind",
    "MediaPacket",
    "Metric",
    "NoParameters",
    "Outbox",
    "ReactorAnswered",
    "ReactorDefinition",
    "Reservation",
    "Secret",
    "Step",
    "StepChanged",
    "StepContext",
    "StepDefinition",
    "StepError",
    "StepFactory",
    "StepType",
    "StreamEnded",
    "StreamId",
    "StreamInterrupted",
    "StreamMetadata",
    "StreamRequest",
    "StreamResumed",
    "StreamStalled",
    "StreamStarted",
    "StreamStatus",
    "StreamSwitched",
    "StreamWentLive",
    "StreamWentOff",
    "Switched",
    "TargetDown",
    "TargetUp",
    "WorkflowDefinition",
    "WorkflowEnded",
    "WorkflowFailed",
    "WorkflowStarted",
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
