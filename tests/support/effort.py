"""How much of a test runs: all of it in CI, a little of it in the fast suite (`scripts/test --fast`).

What is too long for that even so has the marker `thorough`.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings

FAST = "fast"
"""The profile of Hypothesis by which a test knows that it is part of the fast suite."""

FAST_LEAVES_OUT = ("e2e", "thorough")
"""Markers of what the fast suite does not run."""

FAST_PARAMETERS = 3
FAST_SCHEDULES = 2
FAST_EXAMPLES = 8


def some_of(count: int, *, fast: int = FAST_EXAMPLES) -> int:
    """So many examples, seeds or inputs; the fast suite has `fast` of them."""
    return min(count, fast) if settings.get_current_profile_name() == FAST else count


def first_are_fast(count: int, values: Iterable[object]) -> list[object]:
    """Parameters of which only the first `count` are in the fast suite; a tuple is a value for each argument."""
    return [
        value
        if place < count
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough)
        for place, value in enumerate(values)
    ]


_MARK_OF_A_FILE = re.compile(r"^pytestmark = (?:\[\s*)?pytest\.mark\.(\w+)", re.MULTILINE)


def first_mark(path: Path) -> str | None:
    """The marker that all tests of a file have, the first of several. The file is read, and not imported."""
    found = _MARK_OF_A_FILE.search(path.read_text("utf-8"))
    return found[1] if found else None
