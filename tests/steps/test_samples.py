"""The sample configurations through parser and registry, as the program reads them."""

from pathlib import Path

import pytest

from mmids_trio.config.settings import Settings
from mmids_trio.errors import ConfigurationError
from mmids_trio.reload.configuration_file import Configuration, load
from mmids_trio.server.building import build_server

SAMPLES = Path(__file__).parents[1] / "config" / "samples"


def sample(name: str) -> Configuration:
    return load(SAMPLES / f"{name}.mmids", lambda document: build_server(Settings(), document.reactors))


@pytest.mark.parametrize("name", ["everything", "simple", "crlf-no-final-newline"])
def test_a_good_sample_has_no_problem(name: str) -> None:
    configuration = sample(name)
    assert configuration.document.workflows
    assert configuration.document.warnings == ()


def test_everything_is_in_canonical_spellings() -> None:
    document = sample("everything").document
    types = {step.step_type for workflow in document.workflows for step in workflow.steps}
    assert "workflow_forwarder" in types
    assert "forward_to_workflow" not in types


def test_the_broken_sample_has_four_problems() -> None:
    with pytest.raises(ConfigurationError) as caught:
        sample("broken")
    problems = caught.value.problems
    assert [(problem.place.line, problem.place.column) for problem in problems] == [(4, 5), (5, 5), (8, 10), (11, 24)]
    assert [problem.message for problem in problems[:2]] == [
        "unknown step type 'rtmp_recieve'; did you mean 'rtmp_receive'?",
        "rtmp_watch: missing required parameter 'stream_key'",
    ]
