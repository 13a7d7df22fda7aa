"""A server that is killed comes back with what it had promised, or was asked for last: never less, never torn.

`MMIDS_TEST_KILLS=500` makes it as many kills.
"""

import os
import random
import signal
from pathlib import Path

import pytest
import trio

from mmids_trio.state.text import read
from tests.support.killing import NAMES, Ledger, change_until_killed, find, workflow
from tests.support.program import serve

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("MMIDS_TEST_KILLS", "20"))
PER_TEST = 10
ANSWERS_OF_A_LIFE = 6
"""That a server gives at most before the moment of its death is drawn."""
LONGEST_REST_SECONDS = 0.05
IN_FILE = {name: f"file-{name}" for name in NAMES[:3]}


@pytest.mark.parametrize("seed", range((KILLS + PER_TEST - 1) // PER_TEST))
async def test_every_restart_has_a_state_that_was_acknowledged_or_in_flight(
    nursery: trio.Nursery, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    ledger = Ledger({name: IN_FILE.get(name) for name in NAMES})
    state, file = tmp_path / "state.mmids", "".join(workflow(*item) for item in IN_FILE.items())
    for life in range(min(PER_TEST, KILLS - seed * PER_TEST) + 1):
        directory = tmp_path / str(life)
        directory.mkdir()
        program = await serve(nursery, directory, file, settings=f"state_path {state}")
        found = await find(program.api)
        assert ledger.problems(found) == []
        ledger.acknowledged, ledger.in_flight = {name: found.get(name) for name in NAMES}, {}
        async with trio.open_nursery() as clients:
            clients.start_soon(change_until_killed, program.api, ledger, seed * 1000 + life)
            with trio.fail_after(60):
                await ledger.answered(ledger.answers + chance.randrange(ANSWERS_OF_A_LIFE))
            await trio.sleep(chance.uniform(0, LONGEST_REST_SECONDS))
            program.child.send(signal.SIGKILL)
        await program.child.end()
        read(state.read_bytes(), str(state))
    assert ledger.answers > PER_TEST
