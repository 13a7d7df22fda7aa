"""Headers and children of workflow and reactor nodes: what they mean and what is wrong with them."""

from collections.abc import Callable

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.definitions import ReactorDefinition, StepDefinition, WorkflowDefinition
from mmids_trio.errors import Place

Found = list[tuple[int, int, str]]
Find = Callable[[str], Found]


def test_a_workflow_keeps_its_steps_in_order_also_equal_ones() -> None:
    document = parse("workflow w routed_by_reactor {\n b x=1 y\n a\n b x=1 y\n}", "test")
    twice = StepDefinition("b", {"x": "1", "y": None})
    assert document.workflows == (WorkflowDefinition("w", (twice, StepDefinition("a"), twice), True),)
    assert list(document.workflows[0].steps[0].parameters) == ["x", "y"]


def test_workflow_step_and_parameters_know_where_they_stand() -> None:
    workflow = parse('# one\n workflow w {\n\ts  a="b c" d\n}', "f").workflows[0]
    step = workflow.steps[0]
    source = '\ts  a="b c" d'
    assert workflow.place == Place("f", 2, 11, " workflow w {")
    assert step.place == Place("f", 3, 2, source)
    assert step.parameter_places == {"a": Place("f", 3, 5, source), "d": Place("f", 3, 13, source)}


@pytest.mark.parametrize(
    ("header", "column", "message"),
    [
        ("workflow {", 10, "expected a workflow name"),
        ('workflow "a" {', 10, "expected a workflow name, which is a word without quotes; found a quoted string"),
        ("workflow name=a {", 10, "expected a workflow name, found the pair 'name=a'"),
        ('workflow a "b" {', 12, "expected a flag or a pair name=value, found a quoted string without a name"),
        ("workflow a b b {", 14, "argument 'b' is given twice"),
        ("reactor executor=x {", 9, "expected a reactor name, found the pair 'executor=x'"),
        ("reactor a {", 11, "expected executor=EXECUTOR"),
        ("reactor a executor {", 11, "expected executor=EXECUTOR, found no value"),
        ("reactor a executor= {", 11, "expected executor=EXECUTOR, found no value"),
        ("reactor a executor=x executor=y {", 22, "argument 'executor' is given twice"),
    ],
)
def test_a_header_says_what_it_lacks(header: str, column: int, message: str, errors_of: Find) -> None:
    assert errors_of(f"{header}\n}}") == [(1, column, message)]


@pytest.mark.parametrize("interval", ["-1", "1.5", "x", "", "1e3", "٣", "31536001", "9" * 5_000])
def test_an_update_interval_is_a_whole_number(interval: str, errors_of: Find) -> None:
    message = "update_interval: expected a whole number of seconds from 0 to 31536000"
    assert errors_of(f"reactor r executor=x update_interval={interval} {{\n}}") == [(1, 22, message)]


@pytest.mark.parametrize(("written", "seconds"), [("", 0), (" update_interval=0", 0), (" update_interval=60", 60)])
def test_a_reactor_has_an_executor_an_interval_and_parameters(written: str, seconds: int) -> None:
    text = f'reactor r executor=simple_http{written} {{\n url http://h/q?a=b&c=d # x\n flag\n two "a b"\n}}'
    document = parse(text, "test")
    assert document.problems == ()
    parameters = {"url": "http://h/q?a=b&c=d", "flag": None, "two": "a b"}
    assert document.reactors == (ReactorDefinition("r", "simple_http", seconds, parameters),)
    assert document.reactors[0].place == Place("test", 1, 9, text.partition("\n")[0])


@pytest.mark.parametrize(
    ("child", "column", "message"),
    [
        ("url a b", 8, "expected the end of the line: a parameter has one value (quotes allow spaces)"),
        ("url=a", 2, "expected white space, not '=', between the parameter 'url' and its value"),
        ('url="a"', 2, "expected white space, not '=', between the parameter 'url' and its value"),
        ('url a="b"', 6, "expected one word or one quoted string, found a word that goes on with quotes"),
        ('"url" a', 2, "expected a parameter name, which is a word without quotes; found a quoted string"),
        ("=url a", 2, "expected a parameter name, found the pair '=url'"),
    ],
)
def test_a_child_of_a_reactor_is_a_name_and_a_value(child: str, column: int, message: str, errors_of: Find) -> None:
    assert errors_of(f"reactor r executor=x {{\n {child}\n}}") == [(2, column, message)]


def test_a_parameter_of_a_reactor_is_given_once(errors_of: Find) -> None:
    message = "parameter 'url' is given twice (first on line 2)"
    assert errors_of("reactor r executor=x {\n url a\n\n url a\n}") == [(4, 2, message)]


def test_names_are_unique_among_their_kind(errors_of: Find) -> None:
    node = "workflow a {\n}\nreactor a executor=x {\n}\n"
    assert errors_of(node) == []
    assert errors_of(node + node) == [
        (5, 10, "duplicate workflow name 'a' (first on line 1)"),
        (7, 9, "duplicate reactor name 'a' (first on line 3)"),
    ]


def test_names_that_are_missing_are_not_the_same(errors_of: Find) -> None:
    expected = [(1, 10, "expected a workflow name"), (3, 10, "expected a workflow name")]
    assert errors_of("workflow {\n}\nworkflow {\n}") == expected


def test_both_workflows_of_one_name_are_delivered_for_further_checks() -> None:
    document = parse("workflow a {\n s\n}\nworkflow a {\n t\n}", "test")
    assert [[step.step_type for step in w.steps] for w in document.workflows] == [["s"], ["t"]]


@pytest.mark.parametrize(
    ("header", "column", "message"),
    [
        ("workflow a b {", 12, "unknown argument 'b'"),
        (
            "workflow a routed_by_reacter {",
            12,
            "unknown argument 'routed_by_reacter'; did you mean 'routed_by_reactor'?",
        ),
        (
            "workflow a Routed_By_Reactor {",
            12,
            "unknown argument 'Routed_By_Reactor'; did you mean 'routed_by_reactor'?",
        ),
        ("workflow a b=c {", 12, "unknown argument 'b'"),
        (
            "workflow a routed_by_reactor=yes {",
            12,
            "routed_by_reactor is a flag; expected it without a value, and ignored it",
        ),
        (
            "reactor a executor=x update_intervall=5 {",
            22,
            "unknown argument 'update_intervall'; did you mean 'update_interval'?",
        ),
    ],
)
def test_other_arguments_of_a_header_are_warned_of(header: str, column: int, message: str, warnings_of: Find) -> None:
    assert warnings_of(f"{header}\n}}") == [(1, column, message)]


def test_an_argument_that_is_no_flag_does_not_make_a_workflow_routable() -> None:
    document = parse("workflow a routed_by_reactor=yes {\n}\nworkflow b Routed_by_reactor {\n}", "test")
    assert [workflow.routed_by_reactor for workflow in document.workflows] == [False, False]


def test_the_first_argument_is_the_name_whatever_it_is() -> None:
    document = parse("workflow routed_by_reactor {\n}\nworkflow a/b:ü {\n}", "test")
    assert document.problems == ()
    assert [(w.name, w.routed_by_reactor) for w in document.workflows] == [
        ("routed_by_reactor", False),
        ("a/b:ü", False),
    ]


@pytest.mark.parametrize(
    "line", ["header Authorization: Bearer hunter2", 'header "Authorization: Bearer hunter2', "header a=hunter2 b"]
)
def test_a_faulty_header_of_a_reactor_is_not_shown(line: str) -> None:
    problems = parse(f"reactor r executor=simple_http {{\n {line}\n}}", "test").problems
    assert problems
    assert "hunter2" not in "".join(map(str, problems))
