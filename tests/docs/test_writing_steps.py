"""The step of the page on writing steps runs, in its own test and in a server."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from mmids_trio.config.parser import parse_workflow
from mmids_trio.config.settings import Settings
from mmids_trio.server.building import build_server
from mmids_trio.testing.harness import Harness
from mmids_trio.workflow.status import OutcomeKind
from tests.support.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "writing-steps.md").read_text("utf-8")
LONGEST_STEP = 20


def blocks() -> list[str]:
    """The Python of the page, in order."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def page() -> ModuleType:
    """All Python of the page as one module."""
    module = ModuleType("writing_steps")
    exec(compile("\n".join(blocks()), "writing-steps.md", "exec"), module.__dict__)
    return module


def test_a_step_takes_no_more_than_20_lines() -> None:
    [step] = re.findall(r"^@frozen\n.*\Z", blocks()[0], re.DOTALL | re.MULTILINE)
    assert len(step.splitlines()) <= LONGEST_STEP


@pytest.mark.parametrize("name", re.findall(r"^async def (test_\w+)", PAGE, re.MULTILINE))
async def test_every_test_of_the_page_passes(name: str, page: ModuleType, autojump_clock: MockClock) -> None:
    test = cast(Callable[[MockClock], Awaitable[None]], getattr(page, name))
    await test(autojump_clock)


@pytest.mark.thorough
@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", PAGE, re.MULTILINE))
def test_every_test_of_the_page_that_runs_trio_itself_passes(name: str, page: ModuleType) -> None:
    getattr(page, name)()


async def test_a_server_runs_the_step(page: ModuleType, autojump_clock: MockClock) -> None:
    server = build_server(Settings(), more_steps=[page.silence_alarm()])
    wanted = server.steps.validate(parse_workflow("workflow quiet {\n    silence_alarm after=7s\n}\n", "page"))
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            [change] = await nursery.start(server.run, [wanted])
            assert (await change.wait_outcome()).kind is OutcomeKind.APPLIED
            await trio.sleep(8)
            server.stop()
    assert [line["seconds"] for line in lines if line["event"] == "silence"] == [7]


async def test_the_step_that_takes_other_parameters_does_so_while_it_runs(
    page: ModuleType, autojump_clock: MockClock
) -> None:
    async with Harness("workflow quiet {\n    patient_alarm after=7s\n}\n", [page.patient_alarm()]) as h:
        with capture_logs() as lines:
            assert (
                await h.put("workflow quiet {\n    patient_alarm after=2s\n}\n", in_place=True)
            ).kind.value == "applied"
            await trio.sleep(10)
    assert [line["seconds"] for line in lines if line["event"] == "silence"] == [2, 2]  # after 7 s and 9 s


async def test_the_program_of_the_page_runs_a_file(page: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "my.mmids"
    file.write_text("workflow quiet {\n    silence_alarm\n}\n")
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(page.serve, file)
            await eventually(lambda: any(line["event"] == "workflow changed" for line in lines), "workflow that runs")
            nursery.cancel_scope.cancel()
