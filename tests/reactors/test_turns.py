"""An answer of a great many workflows is followed in turns."""

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.definitions import WorkflowDefinition
from mmids_trio.reactors.leased import WORKFLOWS_PER_TURN
from mmids_trio.workflow.status import WorkflowOwner
from tests.reactors.stand_ins import API, Bench, FakeWorkflows, flow, valid

MANY = 300


async def test_others_have_their_turns_while_a_large_answer_is_followed_and_given_up(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = most = 0
    bench = Bench(nursery)
    bench.executor.script["s"] = [valid(*map(str, range(MANY)))]
    validate, apply, stop = FakeWorkflows.validate, FakeWorkflows.apply, FakeWorkflows.stop

    def count_validation(self: FakeWorkflows, definition: WorkflowDefinition) -> WorkflowDefinition:
        nonlocal done
        done += 1
        return validate(self, definition)

    def count_start(self: FakeWorkflows, definition: WorkflowDefinition, *, owner: WorkflowOwner = API) -> None:
        nonlocal done
        done += 1
        apply(self, definition, owner=owner)

    async def count_stop(self: FakeWorkflows, name: str) -> None:
        nonlocal done
        done += 1
        await stop(self, name)

    async def watch(until: int) -> None:
        nonlocal done, most
        while len(bench.running) != until:
            await trio.lowlevel.checkpoint()
            most, done = max(most, done), 0

    monkeypatch.setattr(FakeWorkflows, "validate", count_validation)
    monkeypatch.setattr(FakeWorkflows, "apply", count_start)
    monkeypatch.setattr(FakeWorkflows, "stop", count_stop)
    await bench.start()
    nursery.start_soon(watch, MANY)
    holder = await bench.held("s")
    assert holder.hold.is_valid
    assert len(bench.running) == MANY
    assert 0 < most <= 2 * WORKFLOWS_PER_TURN  # of two that are ready one may be served twice in a row
    most = done = 0
    holder.hold.release()
    await watch(0)
    assert 0 < most <= 2 * WORKFLOWS_PER_TURN


async def test_a_name_that_is_taken_meanwhile_is_not_taken_over(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = str(MANY - 1)
    bench = Bench(nursery)
    bench.executor.script["s"] = [valid(*map(str, range(MANY)))]
    await bench.start()

    async def take() -> None:
        while not bench.running:
            await trio.lowlevel.checkpoint()
        bench.workflows.apply(flow(last), owner=API)

    nursery.start_soon(take)
    holder = await bench.held("s")
    assert not holder.hold.is_valid
    holder.hold.release()
    await trio.sleep(1)
    assert bench.running == {last}
