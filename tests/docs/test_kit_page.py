"""The examples of the page on the test kit run as they stand there."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest
from trio.testing import MockClock

PAGE = (Path(__file__).parents[2] / "docs" / "test-kit.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TESTS = re.findall(r"^async def (test_\w+)", "\n".join(BLOCKS), re.MULTILINE)
OUTSIDE_OF_TRIO = re.findall(r"^def (test_\w+)", "\n".join(BLOCKS), re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """All Python of the page as one module."""
    module = ModuleType("test_kit_page")
    exec(compile("\n".join(BLOCKS), "test-kit.md", "exec"), module.__dict__)
    return module


def test_there_are_examples() -> None:
    assert len(TESTS) >= 7


@pytest.mark.parametrize("name", TESTS)
async def test_an_example_of_the_page_passes(name: str, page: ModuleType, autojump_clock: MockClock) -> None:
    test: Callable[..., Awaitable[None]] = getattr(page, name)
    await test(autojump_clock)


@pytest.mark.parametrize("name", OUTSIDE_OF_TRIO)
def test_an_example_that_runs_trio_itself_passes(name: str, page: ModuleType) -> None:
    getattr(page, name)()


async def test_a_piece_of_an_answer_is_read(page: ModuleType, autojump_clock: MockClock) -> None:
    async with page.Harness() as h:
        assert (await page.read_first_piece(h, "/")).startswith(b"Mmids version")
