"""The steps of the GitHub example, run one after the other by the shell that GitHub runs them with."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml  # type: ignore[import-untyped]  # it has no types

from tests.support.processes import start
from tests.support.program import ROOT, Launch, Program

pytestmark = pytest.mark.e2e

JOBS: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "ci" / "github-actions.yml").read_text("utf-8"))["jobs"]


def workflow(name: str, key: str) -> str:
    """The text of a workflow."""
    return f"workflow {name} {{\n    rtmp_receive rtmp_app={name} stream_key={key} port=0\n}}\n"


async def step(nursery: trio.Nursery, directory: Path, program: Program, job: str, name: str) -> int:
    """The exit status of one step."""
    [script] = [step["run"] for step in JOBS[job]["steps"] if step.get("name") == name]
    environment = {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MMIDS_SERVER": program.api,
        "MMIDS_SET": "default",
        "RUNNER_TEMP": str(directory),
        "GITHUB_STEP_SUMMARY": str(directory / "summary.md"),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return await (await start(nursery, command, name=name, directory=directory, environment=environment)).end()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout on the machine of the CI, where `mmids_trio` is installed."""
    program = tmp_path / "mmids_trio"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmids_trio "$@"\n')
    program.chmod(0o755)
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "show.mmids").write_text(workflow("show", "new"))
    return tmp_path


async def test_the_steps_plan_apply_look_and_go_back(launch: Launch, nursery: trio.Nursery, checkout: Path) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    before = await program.get("/config")
    assert await step(nursery, checkout, program, "plan", "Plan") == 0
    assert "\n~ workflow show\n" in (checkout / "summary.md").read_text()
    for name in ("Keep what runs", "Apply"):
        assert await step(nursery, checkout, program, "apply", name) == 0
    assert "stream_key=new" in (await program.get("/config")).text
    assert await step(nursery, checkout, program, "apply", "Roll back") == 0
    assert await program.get("/config") == before


async def test_the_steps_fail_for_a_file_with_an_error_and_a_lost_race(
    launch: Launch, nursery: trio.Nursery, checkout: Path
) -> None:
    program = await launch(workflow("show", "old"))
    await program.hand_over()
    assert await step(nursery, checkout, program, "apply", "Keep what runs") == 0
    await program.put(workflow("show", "urgent"))
    assert await step(nursery, checkout, program, "apply", "Apply") == 1
    (checkout / "workflows" / "show.mmids").write_text("workflow show {\n")
    assert await step(nursery, checkout, program, "plan", "Plan") == 1
    assert "stream_key=urgent" in (await program.get("/config")).text
