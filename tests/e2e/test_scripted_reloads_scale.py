"""A thousand workflows in one transaction, and again with no change; `-s` shows how long it took."""

import time
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.support.commands import invoke
from tests.support.program import Launch

pytestmark = pytest.mark.e2e

WORKFLOWS = 1000
FILES = 10

SECONDS_OF_A_CHANGE, SECONDS_OF_NO_CHANGE = 30.0, 10.0
"""Ten times what is promised of an idle machine (3 s, 1 s): tests share theirs. Quadratic work would still not pass."""


def text(number: int) -> str:
    """One workflow."""
    return (
        f"workflow w{number} {{\n"
        f"    rtmp_receive rtmp_app=app{number} stream_key=* port=0\n"
        f"    rtmp_watch rtmp_app=app{number} stream_key=* port=0\n"
        "}\n"
    )


async def test_a_thousand_workflows_are_one_quick_change_and_then_none(launch: Launch, tmp_path: Path) -> None:
    program = await launch("")
    for file in range(FILES):
        (tmp_path / f"{file}.mmids").write_text("".join(map(text, range(file, WORKFLOWS, FILES))))

    async def apply() -> tuple[float, bool, list[bool]]:
        run = partial(invoke, "apply", "--prune", "--json", str(tmp_path), environment={"MMIDS_SERVER": program.api})
        began = time.perf_counter()
        done = await trio.to_thread.run_sync(run)
        took = time.perf_counter() - began
        assert done.status == 0, done.err
        return took, done.document["changed"], [plan["changed"] for plan in done.document["plan"]["workflows"]]

    took, changed, workflows = await apply()
    assert (changed, workflows) == (True, [True] * WORKFLOWS)
    took_again, changed, workflows = await apply()
    assert (changed, workflows) == (False, [False] * WORKFLOWS)
    print(f"{WORKFLOWS} workflows: {took:.2f} s, with no change {took_again:.2f} s")
    assert took < SECONDS_OF_A_CHANGE
    assert took_again < SECONDS_OF_NO_CHANGE
    assert len((await program.get("/workflows")).json) == WORKFLOWS
