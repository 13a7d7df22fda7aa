"""A registry in memory keeps what its Protocol says, and fails as it is told to."""

from random import Random

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.cluster.directory import (
    ASK_SECONDS,
    RegistryAway,
    StreamKey,
)
from mmids_trio.cluster.hints import HINTS_HELD
from mmids_trio.cluster.memory import MemoryDirectory, MemoryRegistry
from tests.support.directories import KEY, A, B, wanted
from tests.support.faulty_directory import Faults, FaultyDirectory, LateQuestions


async def test_a_registry_that_forgets_has_another_generation_and_goes_on_with_the_epochs_that_are_known(
    autojump_clock: MockClock,
) -> None:
    directory = MemoryDirectory()
    before = await directory.generation()
    held = await directory.claim(wanted(A, epoch=41))
    directory.registry.forget_everything()
    assert await directory.generation() != before
    assert await directory.renew(held) is None
    assert (await directory.claim(wanted(B, epoch=held.epoch))).epoch > held.epoch


async def test_hints_that_nobody_takes_get_lost_and_do_not_pile_up(autojump_clock: MockClock) -> None:
    directory = MemoryDirectory()
    async with directory.changes() as changes:
        for number in range(HINTS_HELD + 10):
            await directory.claim(evolve(wanted(A), key=StreamKey("live", str(number))))
        taken = [await anext(changes) for _ in range(HINTS_HELD)]
        assert taken[-1] == StreamKey("live", str(HINTS_HELD - 1))
        with trio.move_on_after(1) as waiting:
            await anext(changes)
        assert waiting.cancelled_caught


async def test_a_lost_question_does_nothing_and_a_lost_answer_hides_what_was_done(autojump_clock: MockClock) -> None:
    directory = FaultyDirectory(faults=Faults(lost=1.0))
    begun = trio.current_time()
    with pytest.raises(RegistryAway):
        await directory.claim(wanted(A))
    assert trio.current_time() - begun == ASK_SECONDS
    assert directory.registry.look_up(KEY) is None
    directory.faults = Faults(answer_lost=1.0)
    with pytest.raises(RegistryAway):
        await directory.claim(wanted(A))
    assert directory.registry.look_up(KEY) is not None


async def test_a_late_question_arrives_after_the_node_has_given_up_and_after_what_was_asked_since(
    autojump_clock: MockClock,
) -> None:
    registry, on_the_way = MemoryRegistry(), LateQuestions()
    slow = FaultyDirectory(registry, faults=Faults(late=1.0), on_the_way=on_the_way)
    good = FaultyDirectory(registry, on_the_way=on_the_way)
    held = await good.claim(wanted(A))
    with pytest.raises(RegistryAway):
        await slow.release(held)
    assert await good.renew(held) == held
    await trio.sleep(3)
    assert await good.look_up(KEY) is None


async def test_a_registry_that_is_away_answers_again_afterwards_with_what_it_had(autojump_clock: MockClock) -> None:
    directory = FaultyDirectory()
    await directory.write("config/fleet", "text", 0)
    directory.away_for(8)
    with pytest.raises(RegistryAway):
        await directory.read("config/fleet")
    await trio.sleep(8)
    document = await directory.read("config/fleet")
    assert document is not None
    assert document.text == "text"


async def test_the_same_seed_fails_in_the_same_way(autojump_clock: MockClock) -> None:
    async def outcomes(seed: int) -> list[bool]:
        directory = FaultyDirectory(random=Random(seed), faults=Faults(lost=0.2, answer_lost=0.2, late=0.2))
        failed = []
        for _ in range(40):
            try:
                await directory.look_up(KEY)
                failed.append(False)
            except RegistryAway:
                failed.append(True)
        return failed

    assert await outcomes(1) == await outcomes(1)
    assert await outcomes(1) != await outcomes(2)


async def test_asking_may_be_cancelled_at_every_point(autojump_clock: MockClock) -> None:
    directory = FaultyDirectory(faults=Faults(slowest_s=0.5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(directory.claim, wanted(A))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert directory.registry.look_up(KEY) is None
