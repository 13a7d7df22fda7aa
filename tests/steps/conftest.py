"""The kinds of steps of a server, and what was logged."""

from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from mmids_trio.config.parser import parse
from mmids_trio.config.settings import Settings
from mmids_trio.definitions import ReactorDefinition, WorkflowDefinition
from mmids_trio.server.building import build_server
from mmids_trio.steps.registry import StepRegistry

Found = list[tuple[int, int, str]]
"""Line, column and message of each problem."""


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def registry() -> StepRegistry:
    """What a server with the reactor `r` knows; making one has no side effects."""
    return build_server(Settings(), [ReactorDefinition("r", "simple_http")]).steps


@pytest.fixture
def written() -> Callable[..., WorkflowDefinition]:
    """The definition of a workflow whose steps, one a line, begin in line 2, column 5."""

    def read(*steps: str) -> WorkflowDefinition:
        document = parse("workflow w {\n" + "".join(f"    {step}\n" for step in steps) + "}\n", "test")
        assert document.problems == ()
        return document.workflows[0]

    return read


@pytest.fixture
def problems_of(registry: StepRegistry, written: Callable[..., WorkflowDefinition]) -> Callable[..., Found]:
    def find(*steps: str) -> Found:
        problems = registry.problems(written(*steps))
        return [(problem.place.line, problem.place.column, problem.message) for problem in problems]

    return find
