"""Cancellation at every await of a supervisor's life leaves no child, no task and no file behind."""

from collections.abc import Callable
from signal import SIGINT

import pytest
import trio

from mmids_trio.ffmpeg.process import ChildInput, ChildOutput
from mmids_trio.ffmpeg.state import ChildPhase
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.processes import Behaviour, FakeSpawner
from tests.support.children import open_files

MakeSupervisor = Callable[..., Supervisor]

FEWEST_AWAITS = 20
"""Of a run like those below; a sanity check that the test covers something."""


async def _feed(stdin: ChildInput) -> None:
    for _ in range(3):
        await stdin.send_all(b"media")
        await trio.sleep(0.1)


async def _read(stdout: ChildOutput) -> None:
    while await stdout.receive_some(100):
        pass


class Trial:
    """Runs one supervisor after the other, and checks after each."""

    def __init__(self, make: MakeSupervisor, **hooks: object) -> None:
        self.make, self.hooks = make, hooks
        self.behaviours = [
            Behaviour(exits_after=0.15, exit_status=1, stderr=[(0.1, b"oh\n")], echoes=True),
            Behaviour(stderr=[(0.1, b"fine\n")], echoes=True, signals={SIGINT: 0.1}, exits_after_end_of_input=0.1),
        ]

    async def run(self) -> None:
        self.spawner = FakeSpawner(self.behaviours, takes=0.01)
        self.supervisor = self.make(self.spawner, **self.hooks)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.supervisor.run)
            await trio.sleep(2)
            self.supervisor.finish()

    def check(self) -> None:
        self.spawner.check_nothing_is_left()
        # Cancelled before its first step, a task never gets to change anything.
        assert self.supervisor.state.phase is ChildPhase.STOPPED or not self.spawner.attempts
        log = str(self.supervisor.stderr.path)
        assert log not in open_files()


@pytest.mark.thorough
async def test_a_fed_and_read_child_may_be_cancelled_anywhere(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    trial = Trial(supervisor, feed=_feed, read=_read)
    assert await cancel_everywhere(trial.run, trial.check) > FEWEST_AWAITS


@pytest.mark.thorough
async def test_a_child_without_input_may_be_cancelled_anywhere(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    trial = Trial(supervisor, read=_read)
    assert await cancel_everywhere(trial.run, trial.check) > FEWEST_AWAITS
    assert len(trial.spawner.processes) == 2


@pytest.mark.thorough
async def test_a_child_that_ignores_everything_may_be_cancelled_anywhere(
    autojump_clock: trio.abc.Clock, supervisor: MakeSupervisor
) -> None:
    trial = Trial(supervisor, feed=_feed, read=_read)
    trial.behaviours = [Behaviour(signals={}, reads_stdin=False, stderr=[(0.1, b"no\n"), (3.5, b"never\n")])]
    assert await cancel_everywhere(trial.run, trial.check) > FEWEST_AWAITS
