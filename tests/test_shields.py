"""Every shield has a deadline, enforced: whatever cannot be cancelled ends by itself.

Read from the sources, so that a new shield is found with its first run, whether a test reaches it or not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mmids_trio", "benchmarks")
WITH_A_DEADLINE = frozenset({"move_on_after", "move_on_at", "fail_after", "fail_at"})


def shields(tree: ast.AST) -> Iterator[tuple[int, bool]]:
    """The line of everything that shields, and whether it says when that ends."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(keyword.arg == "shield" for keyword in node.keywords):
            yield node.lineno, _has_deadline(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Attribute) and target.attr == "shield" for target in targets):
                yield node.lineno, False  # what it is assigned to may have been made anywhere


def _has_deadline(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [keyword.value for keyword in call.keywords if keyword.arg == "deadline"]
    if name in WITH_A_DEADLINE:
        given += call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg in ("seconds", "deadline")]
    return bool(given) and not any(_is_endless(value) for value in given)


def _is_endless(value: ast.expr) -> bool:
    return any(
        (isinstance(node, ast.Name) and node.id == "inf") or (isinstance(node, ast.Attribute) and node.attr == "inf")
        for node in ast.walk(value)
    )


def found_in(text: str) -> list[bool]:
    return [has_deadline for _, has_deadline in shields(ast.parse(text))]


@pytest.mark.thorough
def test_no_shield_is_without_a_deadline() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        (f"{path.relative_to(ROOT)}:{line}", has_deadline)
        for path in files
        for line, has_deadline in shields(ast.parse(path.read_text("utf-8")))
    ]
    assert found, "there are shields, so the search for them is broken"
    assert [place for place, has_deadline in found if not has_deadline] == []


@pytest.mark.parametrize(
    "text",
    [
        "with trio.CancelScope(deadline=soon, shield=True): pass",
        "with trio.CancelScope(shield=True, deadline=trio.current_time() + 2): pass",
        "with CancelScope(shield=True, deadline=soon): pass",
        "with trio.move_on_after(2, shield=True): pass",
        "with trio.fail_after(seconds=2, shield=True): pass",
        "with trio.move_on_at(deadline=soon, shield=True): pass",
    ],
)
def test_a_shield_with_a_deadline_is_known(text: str) -> None:
    assert found_in(text) == [True]


@pytest.mark.parametrize(
    "text",
    [
        "with trio.CancelScope(shield=True): pass",
        "scope = CancelScope(shield=is_last)",
        "with trio.CancelScope(shield=True, deadline=math.inf): pass",
        "with trio.move_on_after(inf, shield=True): pass",
        "nursery.cancel_scope.shield = True",
    ],
)
def test_a_shield_without_a_deadline_is_known(text: str) -> None:
    assert found_in(text) == [False]
