"""A reactor cancelled at every await that it passes leaves no task, no request and no workflow behind."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing.cancellation import cancel_everywhere
from tests.reactors.stand_ins import DOWN, INVALID, Bench, Holder, valid


async def comings_and_goings(bench: Bench) -> None:
    await bench.start(interval=60)
    bench.executor.seconds = 1
    bench.executor.script = {"s": [valid("a", "b"), valid("b", "c"), INVALID], "t": [valid("d")]}
    first, other = await bench.held("s"), await bench.held("t")
    await trio.sleep(130)
    first.hold.release()
    again = await bench.held("s")
    other.hold.release()
    again.hold.release()
    await trio.sleep(10)


async def failures_and_conflicts(bench: Bench) -> None:
    await bench.start(interval=60)
    bench.executor.script = {"s": [DOWN, valid("a"), DOWN, valid("b")], "t": [valid("a")]}
    holders: list[Holder] = [bench.hold("s"), bench.hold("t")]
    await trio.sleep(130)
    for holder in holders:
        holder.hold.release()
    await bench.held("s")


@pytest.mark.thorough
@pytest.mark.parametrize("script", [comings_and_goings, failures_and_conflicts])
async def test_a_reactor_cancelled_anywhere_leaves_nothing(
    script: Callable[[Bench], Awaitable[None]], autojump_clock: MockClock
) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    benches: list[Bench] = []

    async def once() -> None:
        async with trio.open_nursery() as nursery:
            bench = Bench(nursery)
            bench.workflows.stop_seconds = 2
            benches.append(bench)
            await script(bench)
            nursery.cancel_scope.cancel()

    def check() -> None:
        assert benches[-1].running == set()
        assert benches[-1].executor.busy == set()
        assert not hasattr(benches[-1], "reactor") or benches[-1].reactor.view().leases == ()
        assert trio.lowlevel.current_statistics().tasks_living == before

    assert await cancel_everywhere(once, check) > 20


async def test_who_waits_for_an_answer_hears_of_the_end_of_the_reactor(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery)
        await bench.start()
        bench.executor.seconds = 10
        holder = bench.hold("s")
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    await holder.hold.wait_answer()
    assert holder.hold.is_valid is False
