"""Invariant: whatever the text, `parse` returns a document, and every place in it lies inside the text."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse, parse_workflow
from mmids_trio.config.writer import write_workflow
from mmids_trio.errors import ConfigurationError, Place

FRAGMENTS = st.sampled_from(
    [
        *("settings", "reactor", "workflow", "Workflow", "workflw", "rtmp_watch", "executor=x", "http_api_host"),
        *("log_path", "http_port", "0.0.0.0", "update_interval=5", "routed_by_reactor", "a", "a=b", "=x", "k=", "="),
        *('"', '"q"', 'k="q"', 'k="', '\\"', "\\", "{", "}", " {", "\n", "\n", "\n", "\r\n", "\r", " ", "  ", "\t"),
        *("#", " # c", "\0", "\x1b", "\u00a0", "“", "ä", "\ufeff", "\u2028", "\ud800", "{\n", "}\n"),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=40).map("".join) | st.text()


def places(document: Document) -> Iterator[Place]:
    yield from (problem.place for problem in document.problems + document.warnings)
    for node in document.reactors + document.workflows:
        if node.place is not None:
            yield node.place
    for step in (step for workflow in document.workflows for step in workflow.steps):
        assert step.place is not None
        assert list(step.parameter_places) == list(step.parameters)
        yield from (step.place, *step.parameter_places.values())


@given(TEXTS)
@example("workflow a {\n s \n\n# x")
def test_any_text_gives_a_document_whose_places_lie_inside_it(text: str) -> None:
    document = parse(text, "file")
    lines = text.removeprefix("\ufeff").split("\n")
    for place in places(document):
        line = lines[place.line - 1].removesuffix("\r")
        assert 1 <= place.column <= len(line) + 1
        assert len(place.source) == len(line)
        assert all(shown in (character, "*") for shown, character in zip(place.source, line, strict=True))


@given(TEXTS)
def test_problems_come_in_order_and_can_be_shown(text: str) -> None:
    problems = parse(text, "file").problems
    positions = [(problem.place.line, problem.place.column) for problem in problems]
    assert positions == sorted(positions)
    assert all(str(problem).startswith("file:") for problem in problems)


@given(TEXTS)
def test_what_is_wrong_stays_wrong_as_the_body_of_a_request(text: str) -> None:
    document = parse(text, "file")
    if document.problems or document.reactors or len(document.workflows) != 1:
        with pytest.raises(ConfigurationError):
            parse_workflow(text, "file")


@given(TEXTS)
def test_what_is_right_as_the_body_of_a_request_can_be_written_and_read_again(text: str) -> None:
    try:
        workflow = parse_workflow(text, "file")
    except ConfigurationError:
        return
    assert parse(text, "file").workflows == (workflow,)
    assert parse_workflow(write_workflow(workflow), "file") == workflow


@given(TEXTS)
def test_reading_a_text_twice_gives_the_same(text: str) -> None:
    assert parse(text, "file") == parse(text, "file")


@given(TEXTS)
def test_line_ends_of_either_kind_mean_the_same(text: str) -> None:
    plain = text.replace("\r", "")
    unix, windows = parse(plain, "file"), parse(plain.replace("\n", "\r\n"), "file")
    assert unix == windows


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused_with_a_place(data: bytes) -> None:
    try:
        text = decode(data, "file")
    except ConfigurationError as error:
        place = error.problems[0].place
    else:
        assert text == data.removeprefix(b"\xef\xbb\xbf").decode()
        return
    assert place.source[place.column - 1] == "\ufffd"
