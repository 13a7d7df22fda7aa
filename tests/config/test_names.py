"""Names of workflows and reactors: refused, with the rule, where no address could mean them."""

import pytest

from mmids_trio.config.names import MAX_NAME_BYTES
from mmids_trio.config.parser import parse, parse_set, parse_workflow, parse_workflows
from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.errors import ConfigurationError
from mmids_trio.steps.registry import StepRegistry

SEGMENT = "cannot be or hold a path segment '.' or '..'"
STEP = "cannot end in /steps/<id>/switch"
LENGTH = "has at most 1,000 bytes"

REFUSED = [
    (".", SEGMENT),
    ("..", SEGMENT),
    ("a/..", SEGMENT),
    ("./a", SEGMENT),
    ("a/../b", SEGMENT),
    ("/.", SEGMENT),
    ("a/steps/1/switch", STEP),
    ("a" * (MAX_NAME_BYTES + 1), LENGTH),
    ("é" * (MAX_NAME_BYTES // 2 + 1), LENGTH),
]
refused = pytest.mark.parametrize(("name", "rule"), REFUSED, ids=[name[:20] for name, _ in REFUSED])


@refused
@pytest.mark.parametrize("header", ["workflow NAME {", "reactor NAME executor=simple_http {"])
def test_a_file_is_told_the_rule_and_the_place(name: str, rule: str, header: str) -> None:
    (problem,) = parse(f"\n{header.replace('NAME', name)}\n}}\n", "test").problems
    assert rule in problem.message
    assert (problem.place.line, problem.place.column) == (2, header.index("NAME") + 1)


@refused
def test_so_is_a_request_a_set_and_the_answer_of_a_reactor(name: str, rule: str) -> None:
    text = f"workflow {name} {{\n}}\n"
    for read in (parse_workflow, parse_workflows, lambda text, file: list(parse_set(text, file))):
        with pytest.raises(ConfigurationError, match=rule.replace(".", r"\.")):
            read(text, "test")


@refused
def test_so_is_a_definition_that_code_has_made(name: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule.replace(".", r"\.")):
        StepRegistry([]).validate(WorkflowDefinition(name))


@pytest.mark.parametrize("name", ["...", ".a", "a..b", "a/.b", "a/steps/1/switch/more", "a" * MAX_NAME_BYTES])
def test_names_that_only_look_alike_are_fine(name: str) -> None:
    assert parse_workflow(f"workflow {name} {{\n}}\n", "test").name == name
    assert StepRegistry([]).validate(WorkflowDefinition(name)).name == name
