"""The tables of the pages say what the code does: parameters of steps, limits."""

import re
from enum import Enum
from importlib import import_module
from math import inf
from pathlib import Path

import pytest

from mmids_trio.config.settings import Settings
from mmids_trio.server.building import build_server
from mmids_trio.steps.registry import StepType

DOCS = Path(__file__).parents[2] / "docs"
STEPS = (DOCS / "steps.md").read_text("utf-8")
LIMITS = re.findall(
    r"^\| (.+?) \| (\S+) ?(\S*) \| `([\w.]+)` \|$", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE
)
UNITS = {"": 1, "s": 1, "ms": 1, "bytes": 1, "KiB": 1024, "MiB": 1024**2}


def section(step_type: str) -> str:
    """What the page says about one kind of step."""
    [text] = re.findall(rf"^## {step_type}$(.*?)(?=^## |\Z)", STEPS, re.DOTALL | re.MULTILINE)
    return str(text)


def documented(step_type: str) -> dict[str, tuple[bool, list[str], str]]:
    """Parameter to: whether it is required, other spellings, meaning."""
    rows = re.findall(r"^\| `(\w+)`(.*?) \| (.*) \|$", section(step_type), re.MULTILINE)
    return {name: ("(required)" in notes, re.findall(r"`(\w+)`", notes), meaning) for name, notes, meaning in rows}


KINDS = build_server(Settings()).steps.types


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_step_has_its_parameters(kind: StepType) -> None:
    rows = documented(kind.name)
    assert list(rows) == [parameter.name for parameter in kind.parameters]
    for parameter in kind.parameters:
        required, spellings, meaning = rows[parameter.name]
        assert required == parameter.required
        assert spellings == list(parameter.aliases)
        default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
        if default not in (None, False, 0, (), inf):
            assert re.search(rf"(default `?{default}`?|`{default}` \(default\))", meaning)
    for alias in kind.aliases:
        assert f"`{alias}`" in section(kind.name)


def test_the_overview_lists_every_step() -> None:
    listed = re.findall(r"^\| \[`(\w+)`\]", STEPS, re.MULTILINE)
    assert listed == [kind.name for kind in KINDS]


def test_there_are_limits() -> None:
    assert len(LIMITS) >= 20


@pytest.mark.parametrize(("what", "value", "unit", "constant"), LIMITS, ids=[limit[3] for limit in LIMITS])
def test_every_limit_is_that_of_the_code(what: str, value: str, unit: str, constant: str) -> None:
    module, _, name = constant.rpartition(".")
    assert float(value) * UNITS[unit] == getattr(import_module(f"mmids_trio.{module}"), name), what
