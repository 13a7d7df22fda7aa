"""Invariant: any bytes are a configuration or a report of what is wrong with it, and what is right can be written.

A report's size is bounded by that of the text, and every place lies in it.
"""

from mmids_trio.config.encoding import decode
from mmids_trio.config.parser import Document, parse, parse_workflow
from mmids_trio.config.report import MAX_PROBLEMS
from mmids_trio.config.writer import write_reactor, write_workflow
from mmids_trio.errors import SHOWN_WIDTH, ConfigurationError, Problem

CALLS, CALLS_PER_BYTE = 20_000, 400
"""A problem is one line and a caret: a text of single bytes that are wrong has one for each."""

LONGEST_PROBLEM = 40 * SHOWN_WIDTH


def fuzz_one(data: bytes) -> None:
    """Decode, parse, write and parse."""
    try:
        text = decode(data, "f")
    except ConfigurationError as error:
        _check_length(error)
        return
    document = parse(text, "f")
    _check_problems(document, text)
    if not document.problems:
        written = "".join(map(write_reactor, document.reactors)) + "".join(map(write_workflow, document.workflows))
        again = parse(written, "f")
        assert (again.problems, again.reactors, again.workflows) == ((), document.reactors, document.workflows)
    try:
        workflow = parse_workflow(text, "f")
    except ConfigurationError:
        return
    assert document.workflows == (workflow,)


def _check_length(problem: ConfigurationError | Problem) -> None:
    assert len(str(problem)) <= LONGEST_PROBLEM


def _check_problems(document: Document, text: str) -> None:
    assert max(len(document.problems), len(document.warnings)) <= MAX_PROBLEMS + 1  # the last says that there are more
    for problem in document.problems + document.warnings:
        assert 1 <= problem.place.line <= text.count("\n") + 1
        assert 1 <= problem.place.column <= len(problem.place.source) + 1
        _check_length(problem)
