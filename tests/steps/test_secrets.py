"""A secret of a step of one's own is declared once, and stands nowhere: not in plans, answers, problems and tapes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from structlog.testing import capture_logs

from mmids_trio.config.converters import text, whole_number
from mmids_trio.config.parameters import Secret, parameter, secret_parameter
from mmids_trio.config.parser import parse_workflow
from mmids_trio.steps.registry import StepType
from mmids_trio.testing.harness import Harness
from mmids_trio.testing.recorder import Recorder
from mmids_trio.workflow.step import Step, StepContext
from tests.support.commands import command
from tests.support.tapes import capturing

PIN = "hunter2"
"""Of a parameter whose name does not say that it is secret."""


@frozen
class LockParameters:
    """Of `lock`."""

    door: str = parameter(text)
    pin: Secret = secret_parameter()
    turns: int = parameter(whole_number(1, 9), default=1)


def lock(opened: list[str]) -> StepType:
    """A step that notes the pins that it gets."""

    def build(parameters: LockParameters, context: StepContext) -> Step:
        opened.append(parameters.pin.text)
        return Recorder()

    return StepType("lock", LockParameters, build)


def workflow(door: str, pin: str = PIN) -> str:
    return f"workflow house {{\n    lock pin={pin} door={door} turns=3\n}}\n"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Commands print to the same output as the log."""
    with capture_logs():
        yield


async def test_no_command_prints_it_although_no_client_knows_the_step(tmp_path: Path) -> None:
    opened: list[str] = []
    path = tmp_path / "house.mmids"
    async with Harness("", [lock(opened)]) as h:
        await h.put(workflow("front"))
        path.write_text(workflow("back"))
        planned = await command(h.http, "plan", str(path))
        assert planned.out.splitlines()[:3] == [
            "~ workflow house",
            "    - lock pin=*** door=front turns=3",
            "    + lock pin=*** door=back turns=3   door front -> back",
        ]
        commands = (
            ["plan", "--json", str(path)],
            ["apply", str(path)],
            ["show", "house"],
            ["apply", "--json", str(path)],
        )
        outputs = [await command(h.http, *arguments) for arguments in commands]
        assert "    lock pin=*** door=back turns=3" in outputs[2].out.splitlines()
        path.write_text("# nothing\n")
        outputs.append(await command(h.http, "plan", "--prune", str(path)))
        assert "    - lock pin=*** door=back turns=3" in outputs[-1].out.splitlines()
        for output in (planned, *outputs):
            assert PIN not in output.out + output.err
    assert opened == [PIN, PIN]


async def test_no_answer_but_the_whole_configuration_has_it() -> None:
    async with Harness(workflow("front"), [lock([])]) as h:
        put = await h.http.request("PUT", "/workflows", content=workflow("back"))
        assert put.json()["steps"][1]["parameters"] == {"pin": "***", "door": "back", "turns": "3"}
        shown = await h.http.request("GET", "/workflows/house")
        assert shown.json()["active_steps"][0]["parameters"]["pin"] == "***"
        assert PIN not in put.text + shown.text
        assert f"pin={PIN}" in (await h.http.request("GET", "/config")).text


async def test_a_url_in_a_plan_has_neither_password_nor_stream_key() -> None:
    async with Harness("", [lock([])]) as h:
        pushing = "workflow w {\n    rtmp_push target=rtmp://user:hunter2@example.org/app/hunter2\n}\n"
        plan = await h.http.request("PUT", "/workflows?dry_run=true", content=pushing)
        assert plan.json()["steps"][0]["parameters"] == {"target": "rtmp://***@example.org/app/***"}


async def test_what_is_wrong_beside_it_is_shown_without_it() -> None:
    async with Harness("", [lock([])]) as h:
        refused = await h.http.request("PUT", "/workflows", content=workflow("back").replace("turns=3", "turns=x"))
        assert refused.status == 400
        assert "bad value 'x' for 'turns'" in refused.text
        assert PIN not in refused.text
        [problem] = h.server.steps.problems(parse_workflow(workflow("back").replace("turns=3", "turns=x"), "test"))
        assert problem.place.source == "    lock pin=******* door=back turns=x"


async def test_a_tape_has_a_pseudonym() -> None:
    async with capturing(workflow("front"), more_steps=[lock([])]) as (h, tape):
        await h.http.request("PUT", "/workflows", content=workflow("back"))
        await h.http.request("PUT", "/workflows", content=workflow("x", f'"{PIN}"'))
    assert b"door=back" in tape.data
    assert PIN.encode() not in tape.data
