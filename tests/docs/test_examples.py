"""Whatever the documentation and the examples show in the configuration language may be run as it is."""

import re
from pathlib import Path

import pytest

from mmids_trio.cli.configuration_file import load
from mmids_trio.config.parser import parse
from mmids_trio.steps.registry import StepRegistry

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.mmids"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^```mmids\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    )
]
WORKFLOWS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"^    (workflow .*?^    })$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    )
]


def test_there_is_something_to_test() -> None:
    assert len(EXAMPLES) >= 8
    assert len(BLOCKS) >= 5
    assert len(WORKFLOWS) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_may_be_run(example: Path, steps: StepRegistry) -> None:
    assert load(example, steps).document.warnings == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_uses_only_steps_that_run(example: Path, steps: StepRegistry) -> None:
    for workflow in load(example, steps).document.workflows:
        for step in workflow.steps:
            assert step.step_type != "workflow_forwarder"
            assert not {"rtmps", "reactor"} & set(step.parameters)


@pytest.mark.parametrize("block", [*BLOCKS, *WORKFLOWS])
def test_every_block_of_the_pages_is_valid(block: str, steps: StepRegistry) -> None:
    document = parse(block, "page")
    assert (document.problems, document.warnings) == ((), ())
    assert document.workflows or document.settings
    for workflow in document.workflows:
        assert steps.problems(workflow) == []
