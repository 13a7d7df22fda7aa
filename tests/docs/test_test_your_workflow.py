"""The tutorial on testing shows what stands in the example project, and names options and fixtures that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "test-your-workflow.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "testing"
CODE = "\n".join(path.read_text("utf-8") for path in sorted(EXAMPLE.rglob("*.py")))


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
def test_the_code_of_the_page_is_that_of_the_example(block: str) -> None:
    assert block in CODE


def test_the_workflow_of_the_page_is_that_of_the_example() -> None:
    [block] = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert block == (EXAMPLE / "workflows" / "studio.mmids").read_text("utf-8")


@pytest.mark.thorough
def test_every_option_and_fixture_of_the_page_is_there(pytester: pytest.Pytester) -> None:
    options = set(re.findall(r"`(--[\w-]+)", PAGE))
    fixtures = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert len(options) == 4
    assert len(fixtures) == 5
    known = pytester.runpytest_inprocess("-p", "mmids_trio.testing.plugin", "--help").stdout.str()
    assert [option for option in options if f"{option}=" not in known] == []
    known = pytester.runpytest_inprocess("-p", "mmids_trio.testing.plugin", "--fixtures").stdout.str()
    assert [name for name in fixtures if not re.search(rf"^{name} ", known, re.MULTILINE)] == []
