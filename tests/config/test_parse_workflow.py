"""Texts of workflow nodes alone: one of them, or any number."""

from collections.abc import Callable

import pytest

from mmids_trio.config.parser import WHOLE_FILES, parse_workflow, parse_workflows
from mmids_trio.definitions import StepDefinition, WorkflowDefinition
from mmids_trio.errors import ConfigurationError

A = "workflow a {\n s\n}\n"
SETTINGS = "settings {\n}\n"
REACTOR = "reactor r executor=x {\n}\n"
ONLY_ONE = "expected one workflow node and nothing else"


def refusals(read: Callable[[str, str], object], text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ConfigurationError) as raised:
        read(text, "body")
    return [(p.place.line, p.place.column, p.message) for p in raised.value.problems]


def test_one_workflow_is_returned() -> None:
    assert parse_workflow(f"# a\n\n{A}# b", "body") == WorkflowDefinition("a", (StepDefinition("s"),))


@pytest.mark.parametrize("text", ["", "\n", "  # nothing\r\n"])
def test_no_workflow_is_refused_with_a_place(text: str) -> None:
    assert refusals(parse_workflow, text) == [(1, 1, "expected a workflow node; found none")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A + A.replace("a", "b"), [(4, 1, "expected one workflow node; found another")]),
        (SETTINGS + A, [(1, 1, f"{ONLY_ONE}; found a settings node{WHOLE_FILES}")]),
        (A + REACTOR, [(4, 1, f"{ONLY_ONE}; found a reactor node{WHOLE_FILES}")]),
        (SETTINGS, [(1, 1, f"{ONLY_ONE}; found a settings node{WHOLE_FILES}")]),
        ("workflow {\n}", [(1, 10, "expected a workflow name")]),
        (
            "workflow a {\n s =x\n",
            [
                (2, 4, "expected a parameter name before '='"),
                (2, 6, "expected '}' to close workflow 'a', opened on line 1"),
            ],
        ),
        (
            "nonsense",
            [(1, 1, "expected a node (settings, reactor, workflow or webhook), found 'nonsense' outside of any")],
        ),
    ],
)
def test_anything_but_one_workflow_is_refused(text: str, expected: list[tuple[int, int, str]]) -> None:
    assert refusals(parse_workflow, text) == expected


def test_any_number_of_workflows_is_returned() -> None:
    assert parse_workflows("", "answer") == ()
    assert [w.name for w in parse_workflows(A + A.replace("a", "b"), "answer")] == ["a", "b"]


def test_other_nodes_among_workflows_are_refused() -> None:
    found = refusals(parse_workflows, A + SETTINGS + REACTOR + A)
    assert [(line, column) for line, column, _ in found] == [(4, 1), (6, 1), (8, 10)]
    assert found[0][2] == "expected workflow nodes only; found a settings node"
