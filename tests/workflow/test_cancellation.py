"""A workflow cancelled at every await that it passes, and the helper that does so."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import Factory, define
from trio.testing import MockClock

from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.workflow.change import Change
from mmids_trio.workflow.manager import WorkflowManager
from mmids_trio.workflow.running_step import RunningStep
from mmids_trio.workflow.status import PlanView
from tests.support.effort import first_are_fast
from tests.support.numbered_events import Footage
from tests.support.toy_steps import SLOWNESS, Bench, definition


async def test_every_await_is_met_once_and_the_last_run_is_whole() -> None:
    journeys: list[list[int]] = []

    async def child(journey: list[int]) -> None:
        await trio.lowlevel.checkpoint()
        journey.append(3)

    async def once() -> None:
        journey: list[int] = []
        journeys.append(journey)
        for number in (1, 2):
            await trio.lowlevel.checkpoint()
            journey.append(number)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, journey)

    cancelled = await cancel_everywhere(once)
    assert journeys[:3] == [[], [1], [1, 2]]
    assert journeys[-1] == [1, 2, 3]
    assert len(journeys) == cancelled + 1


async def test_what_a_check_finds_is_raised() -> None:
    def check() -> None:
        raise AssertionError("something is left")

    with pytest.raises(AssertionError, match="something is left"):
        await cancel_everywhere(trio.lowlevel.checkpoint, check)


@define
class Run:
    """One life of a workflow."""

    bench: Bench = Factory(Bench)
    changes: list[Change[PlanView]] = Factory(list)
    manager: WorkflowManager = Factory(lambda self: WorkflowManager(self.bench), takes_self=True)

    def submit(self, *steps: str, rollback: bool = False) -> Change[PlanView]:
        self.changes.append(self.manager.apply(definition("w", *steps), rollback=rollback))
        return self.changes[-1]

    async def live(self, script: "Callable[[Run], Awaitable[None]]") -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.manager.run)
            await trio.lowlevel.checkpoint_if_cancelled()  # what was started may have ended with that
            try:
                await script(self)
            except RuntimeError:
                await trio.lowlevel.checkpoint_if_cancelled()  # the manager may have heard of it, and ended, first
                raise
            await self.manager.stop("w")
            nursery.cancel_scope.cancel()

    def check(self) -> None:
        assert self.bench.running == []
        assert self.manager.is_quiet
        assert all(isinstance(step.context, RunningStep) and step.context.ended.is_set() for step in self.bench.built)
        assert all(change._outcome is not None for change in self.changes)


async def swaps(run: Run) -> None:
    await run.submit("source:s", "recorder:a", "slow:m", "replacer:r", "recorder:b").wait_outcome()
    footage = Footage()
    await run.bench.send("s", [*footage.start(), *footage.frames(3)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.bench.send, "s", footage.frames(2))
        await run.submit("source:s", "recorder:b", "slow:m", "recorder:c reserves").wait_outcome()
    await trio.sleep(SLOWNESS)
    assert run.bench["c"].frames() or run.changes[-1]._outcome


async def failures(run: Run) -> None:
    await run.submit("source:s", "recorder:a").wait_outcome()
    await run.submit("source:s", "recorder:b", "recorder:c refuses", rollback=True).wait_outcome()
    await run.submit("source:s", "recorder:b", "recorder:c refuses").wait_outcome()
    await run.submit("source:s", "recorder:a").wait_outcome()
    run.bench["a"].fail(ValueError("crash"))
    await trio.testing.wait_all_tasks_blocked()
    await run.submit("recorder:a").wait_outcome()


async def overtaking(run: Run) -> None:
    run.submit("recorder:a waits")
    await trio.testing.wait_all_tasks_blocked()
    run.submit("recorder:a waits", "recorder:b")
    await trio.testing.wait_all_tasks_blocked()
    run.bench["a"].let_ready()
    run.submit("recorder:b")
    await run.submit("recorder:b", "stuck:c", "recorder:d").wait_outcome()
    await run.submit("recorder:d").wait_outcome()


@pytest.mark.thorough
@pytest.mark.parametrize("script", first_are_fast(1, [swaps, failures, overtaking]))
async def test_a_workflow_cancelled_anywhere_leaves_nothing(
    script: Callable[[Run], Awaitable[None]], autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    run = Run()

    async def once() -> None:
        nonlocal run
        run = Run()
        await run.live(script)

    def check() -> None:
        run.check()
        assert trio.lowlevel.current_statistics().tasks_living == before

    assert await cancel_everywhere(once, check) > 20
