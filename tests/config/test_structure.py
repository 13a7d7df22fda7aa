"""Nodes, braces and what follows from a mistake with them: one error for one mistake, and the rest understood."""

from collections.abc import Callable

import pytest

from mmids_trio.config.parser import parse

Found = list[tuple[int, int, str]]
Find = Callable[[str], Found]

ANY_NODE = "settings, reactor, workflow or webhook"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workflw a {\n s\n}", (1, 1, "unknown node 'workflw'; did you mean 'workflow'?")),
        ("workflw a\n s\n}", (1, 1, "unknown node 'workflw'; did you mean 'workflow'?")),
        ("workflw a\n{\n s\n}", (1, 1, "unknown node 'workflw'; did you mean 'workflow'?")),
        ("pipeline a {\n s\n}", (1, 1, f"unknown node 'pipeline'; expected {ANY_NODE}")),
        ("  rtmp_watch a=b\n  x\n", (1, 3, f"expected a node ({ANY_NODE}), found 'rtmp_watch' outside of any")),
        ('"workflow" a {\n}', (1, 1, f"expected a node name: {ANY_NODE}")),
        ("workflow=a {\n}", (1, 1, f"expected a node name: {ANY_NODE}")),
        ("{\n s\n}", (1, 1, f"expected a node name ({ANY_NODE}) before '{{'")),
        ("}", (1, 1, "unexpected '}'; no node is open here")),
        ("workflow a {\n}\n }", (3, 2, "unexpected '}'; no node is open here")),
        ("workflow a\n s\n}", (1, 11, "expected '{' at the end of the line")),
        ("workflow a\n{\n s\n}", (1, 11, "expected '{' at the end of the line")),
        ("workflow a", (1, 11, "expected '{' at the end of the line")),
        ("workflow a {\n s\n", (2, 3, "expected '}' to close workflow 'a', opened on line 1")),
        ("workflow a {", (1, 13, "expected '}' to close workflow 'a', opened on line 1")),
        ("settings {\n\n\n", (1, 11, "expected '}' to close settings, opened on line 1")),
        ("workflow a { s\n}", (1, 14, "expected the end of the line after '{'")),
        ("workflow a {}", (1, 13, "expected the end of the line after '{'")),
        ("workflow a{}", (1, 12, "expected the end of the line after '{'")),
        ("workflow a { s b }", (1, 14, "expected the end of the line after '{'")),
        ("workflow a {\n s b }", (2, 6, "expected '}' on a line of its own")),
        ("workflow a {\n} x", (2, 3, "expected the end of the line after '}'")),
        ("workflow a {\n}}", (2, 2, "expected the end of the line after '}'")),
        ("workflow a {\n s {\n  t\n }\n}", (2, 4, "unexpected '{' inside workflow 'a'; expected the end of the line")),
        ("workflow a {\n s { t\n }\n}", (2, 6, "expected the end of the line after '{'")),
        ("workflow a {\n {\n }\n}", (2, 2, "unexpected '{' inside workflow 'a'; expected the end of the line")),
        ("workflow a{b {\n}", (1, 11, "a brace inside an argument; expected quotes around a value that holds one")),
    ],
)
def test_one_mistake_is_one_error(text: str, expected: tuple[int, int, str], errors_of: Find) -> None:
    assert errors_of(text) == [expected]


@pytest.mark.parametrize(
    "text", ["workflw a\n s", "workflow {", "settings a {\n}", "pipeline {\n}", "}", "s", "workflow a"]
)
def test_a_node_behind_a_mistake_is_understood(text: str) -> None:
    document = parse(text + "\nworkflow good {\n    step\n}\n", "test")
    assert document.problems
    assert [step.step_type for step in document.workflows[-1].steps] == ["step"]
    assert document.workflows[-1].name == "good"


def test_a_missing_closing_brace_is_noticed_at_the_next_node() -> None:
    document = parse("workflow a {\n s\n\nworkflow b {\n t\n}\n", "test")
    [problem] = document.problems
    assert problem.message == "expected '}' to close workflow 'a', opened on line 1, before this workflow node"
    assert (problem.place.line, problem.place.column) == (4, 1)
    assert [[step.step_type for step in w.steps] for w in document.workflows] == [["s"], ["t"]]


def test_a_missing_opening_brace_is_no_missing_closing_brace(errors_of: Find) -> None:
    assert errors_of("workflow a\n s\nworkflow b {\n}") == [(1, 11, "expected '{' at the end of the line")]


def test_an_indented_node_inside_a_node_is_told_from_a_missing_brace() -> None:
    text = "workflow a {\n  s\n  reactor b executor=x {\n    url u\n  }\n  t\n}\nworkflow c {\n}"
    document = parse(text, "test")
    [problem] = document.problems
    assert problem.message == "a reactor node inside workflow 'a'; expected it outside"
    assert (problem.place.line, problem.place.column) == (3, 3)
    assert [step.step_type for step in document.workflows[0].steps] == ["s", "t"]
    assert [workflow.name for workflow in document.workflows] == ["a", "c"]
    assert document.reactors[0].parameters == {"url": "u"}


def test_a_node_that_is_not_indented_closes_all_that_are_open(errors_of: Find) -> None:
    found = errors_of("workflow a {\n  workflow b {\n    s\nworkflow c {\n  t\n}\n")
    assert [(line, column) for line, column, _ in found] == [(2, 3), (4, 1)]


def test_an_unclosed_quote_in_a_header_does_not_lose_the_node() -> None:
    document = parse('workflow a {\n s\nworkflow "b {\n t\n}\nworkflow c x="y {\n u\n}', "test")
    assert [problem.place.line for problem in document.problems] == [3, 3, 6]
    assert [workflow.name for workflow in document.workflows] == ["a", "", "c"]


def test_faults_are_reported_where_their_node_is_unknown(errors_of: Find) -> None:
    found = errors_of('pipeline {\n a="\n}\nstray\n b="\n')
    assert [(line, column) for line, column, _ in found] == [(1, 1), (2, 4), (4, 1), (5, 4)]


def test_very_deep_nesting_is_no_trouble(errors_of: Find) -> None:
    found = errors_of("".join(" " * depth + "workflow a {\n" for depth in range(200)))
    # Each but the first is nested and has a name that is taken; the innermost is not closed.
    assert len(found) == (200 - 1) + (200 - 1) + 1


def test_all_errors_of_a_text_come_in_one_report_in_order_of_place(errors_of: Find) -> None:
    text = (
        'settings {\n http_api_host 0.0.0.0\n http_api_port x\n}\nreactor {\n}\nworkflw {\n}\nworkflow a {\n b="\n}\n}'
    )
    assert [(line, column) for line, column, _ in errors_of(text)] == [
        (2, 16),
        (3, 16),
        (5, 9),
        (5, 9),
        (7, 1),
        (10, 4),
        (12, 1),
    ]
