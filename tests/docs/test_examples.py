"""Whatever the documentation and the examples show in the configuration language may be run as it is."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmids_trio.config.parser import Document, parse
from mmids_trio.config.settings import Settings
from mmids_trio.reload.configuration_file import Kinds, load
from tests.support.commands import invoke

Known = Callable[[Document], Kinds]

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*(ROOT / "examples").glob("*.mmids"), *(ROOT / "examples").glob("load_balancing/*.mmids")])
ANSWERS = sorted((ROOT / "examples").glob("per_publisher/*/*.mmids"))
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
    assert len(ANSWERS) == 2
    assert len(BLOCKS) >= 5
    assert len(WORKFLOWS) >= 2


def test_the_list_of_examples_has_every_file_and_folder() -> None:
    table = (ROOT / "examples" / "README.md").read_text("utf-8")
    # What else lies there (logs of servers that ran) is not in git.
    folders = [path for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != "logs"]
    files = (ROOT / "examples").glob("*.mmids")
    missing = [path.name for path in [*files, *folders] if not re.search(rf"[\[`]{path.name}[/\]`]", table)]
    assert missing == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_may_be_run(example: Path, kinds: Known) -> None:
    assert load(example, kinds).document.warnings == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_with_rtmps_says_where_the_certificate_is(example: Path, kinds: Known) -> None:
    document = load(example, kinds).document
    is_encrypted = any("rtmps" in step.parameters for workflow in document.workflows for step in workflow.steps)
    assert (document.settings.tls_cert_path is not None) == is_encrypted


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda path: path.name)
def test_every_answer_of_the_examples_may_be_run(answer: Path, kinds: Known) -> None:
    document = parse(answer.read_text("utf-8"), answer.name)
    assert (document.problems, document.warnings, document.settings, document.reactors) == ((), (), Settings(), ())
    assert [workflow.name for workflow in document.workflows if workflow.routed_by_reactor] == [answer.stem]
    for workflow in document.workflows:
        assert kinds(document).steps.problems(workflow) == []


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.mmids")), ids=lambda path: path.name)
def test_check_accepts_every_file_of_the_examples_or_the_file_says_why_not(file: Path) -> None:
    says_why = "`mmids_trio check` does not know it" in file.read_text("utf-8")
    assert (invoke("check", str(file)).status == 0) != says_why


@pytest.mark.parametrize("block", [*BLOCKS, *WORKFLOWS])
def test_every_block_of_the_pages_is_valid(block: str, kinds: Known) -> None:
    document = parse(block, "page")
    assert (document.problems, document.warnings) == ((), ())
    assert document.workflows or document.settings
    for workflow in document.workflows:
        assert kinds(document).steps.problems(workflow) == []
