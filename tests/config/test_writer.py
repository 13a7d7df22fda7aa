"""Definitions written as text are read back equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.config.names import name_problem
from mmids_trio.config.parser import parse_workflow
from mmids_trio.config.scanner import MAX_LINE_LENGTH
from mmids_trio.config.writer import write_workflow
from mmids_trio.definitions import StepDefinition, WorkflowDefinition

NAMES = st.text(st.sampled_from("abz_-019./?&:\\*'äß日<|~"), min_size=1, max_size=8).filter(
    lambda name: name_problem("workflow", name) is None
)
VALUES = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=12)
AWKWARD_VALUES = st.text(st.sampled_from('\\" #={}a\r\t'), max_size=8)
STEPS = st.builds(StepDefinition, NAMES, st.dictionaries(NAMES, st.none() | VALUES | AWKWARD_VALUES, max_size=4))
WORKFLOWS = st.builds(WorkflowDefinition, NAMES, st.lists(STEPS, max_size=4).map(tuple), st.booleans())


@given(WORKFLOWS)
def test_what_is_written_is_read_back_equal(definition: WorkflowDefinition) -> None:
    read_back = parse_workflow(write_workflow(definition), "written")
    assert read_back == definition
    assert [list(step.parameters) for step in read_back.steps] == [list(s.parameters) for s in definition.steps]


def test_quotes_are_put_only_where_they_are_needed() -> None:
    parameters = {"rtmps": None, "path": r"C:\hls", "name": 'two "words"', "end": "a b\\", "none": ""}
    definition = WorkflowDefinition("w", (StepDefinition("s", parameters),), True)
    assert write_workflow(definition) == (
        "workflow w routed_by_reactor {\n"
        r'    s rtmps path=C:\hls name="two \"words\"" end="a b\\" none=""'
        "\n}\n"
    )


@pytest.mark.parametrize("name", ["", "two words", "a=b", '"a"', "a{", "#a", "a\n", "a\0", "a\u00a0", "“a"])
def test_a_name_that_is_no_plain_word_cannot_be_written(name: str) -> None:
    step = StepDefinition(name)
    for definition in (
        WorkflowDefinition(name),
        WorkflowDefinition("w", (step,)),
        WorkflowDefinition("w", (StepDefinition("s", {name: "v"}),)),
    ):
        with pytest.raises(ValueError, match="expected a name"):
            write_workflow(definition)


@pytest.mark.parametrize("value", ["a\nb", "\0", "\ud800"])
def test_a_value_that_no_text_can_hold_cannot_be_written(value: str) -> None:
    definition = WorkflowDefinition("w", (StepDefinition("s", {"k": value}),))
    with pytest.raises(ValueError, match="expected a value"):
        write_workflow(definition)


def test_a_line_that_just_fits_is_written_so_that_it_fits() -> None:
    step = StepDefinition("s", {"k": "v" * (MAX_LINE_LENGTH - len("s k="))})
    definition = WorkflowDefinition("w", (step,))
    assert parse_workflow(write_workflow(definition), "written") == definition
