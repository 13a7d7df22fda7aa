"""Short forms for tests of the configuration language: what a text's errors are, what one step became."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mmids_trio.config.parser import parse
from mmids_trio.definitions import ParameterValue

Found = list[tuple[int, int, str]]
"""Line, column and message of each problem."""


@pytest.fixture
def errors_of() -> Callable[[str], Found]:
    def find(text: str) -> Found:
        return [(p.place.line, p.place.column, p.message) for p in parse(text, "test").problems]

    return find


@pytest.fixture
def warnings_of() -> Callable[[str], Found]:
    def find(text: str) -> Found:
        document = parse(text, "test")
        assert document.problems == ()
        return [(p.place.line, p.place.column, p.message) for p in document.warnings]

    return find


@pytest.fixture
def parameters_of() -> Callable[[str], Mapping[str, ParameterValue]]:
    """Parameters of a step that is written `s ARGUMENTS`."""

    def read(arguments: str) -> Mapping[str, ParameterValue]:
        document = parse(f"workflow w {{\n    s {arguments}\n}}\n", "test")
        assert document.problems == ()
        return document.workflows[0].steps[0].parameters

    return read


@pytest.fixture
def error_in_step(errors_of: Callable[[str], Found]) -> Callable[[str], tuple[int, str]]:
    """The column (within ARGUMENTS, from 1) and message of the one error of a step written `s ARGUMENTS`."""

    def find(arguments: str) -> tuple[int, str]:
        [(line, column, message)] = errors_of(f"workflow w {{\n s {arguments}\n}}\n")
        assert line == 2
        return column - 3, message

    return find


@pytest.fixture
def samples() -> Path:
    return Path(__file__).with_name("samples")
