"""Cancelling at every checkpoint: what it finds, where it says that was, and how it is repeated alone."""

import re
import textwrap

import pytest
import trio
from trio.testing import MockClock

from mmids_trio.testing.cancellation import cancel_everywhere, cancel_only_at


class Door:
    """Something that is open while it is used, and stays open if that is cancelled at the wrong place."""

    def __init__(self) -> None:
        self.is_open = False
        self.uses = 0

    async def use(self) -> None:
        self.is_open, self.uses = False, self.uses + 1
        await trio.lowlevel.checkpoint()
        self.is_open = True
        await trio.sleep(1)
        try:
            await trio.sleep(2)
        finally:
            self.is_open = False

    def check(self) -> None:
        assert not self.is_open, "the door is open"


async def test_what_is_wrong_at_one_checkpoint_is_raised_with_its_place(autojump_clock: MockClock) -> None:
    door = Door()
    with pytest.raises(AssertionError, match="the door is open") as caught:
        await cancel_everywhere(door.use, door.check)
    [note] = caught.value.__notes__
    assert note.startswith("cancelled at checkpoint 2, in task ")
    assert "    await trio.sleep(1)" in note
    assert re.search(r"cancel_everywhere\(\.\.\., only=2, seed=(\d+)\), or pytest --cancel-at=2:\1$", note)


async def test_one_checkpoint_can_be_repeated_alone(autojump_clock: MockClock) -> None:
    door = Door()
    with pytest.raises(AssertionError, match="the door is open"):
        await cancel_everywhere(door.use, door.check, only=2, seed=1)
    assert door.uses == 1
    assert await cancel_everywhere(door.use, door.check, only=3, seed=1) == 4
    assert door.uses == 3
    with cancel_only_at(2, 1), pytest.raises(AssertionError, match="the door is open"):
        await cancel_everywhere(door.use, door.check)
    assert door.uses == 4


async def test_a_fault_of_the_run_that_is_not_cancelled_says_so() -> None:
    async def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        await cancel_everywhere(fail, only=2)
    assert caught.value.__notes__[0].startswith("in the run that was not cancelled (schedule seed ")


async def test_the_end_of_a_task_counts_and_is_named() -> None:
    async def fail() -> None:
        raise ValueError

    with pytest.raises(ExceptionGroup) as caught:
        await cancel_everywhere(fail)
    assert "which ended just then" in caught.value.__notes__[0]


async def test_a_task_that_is_left_elsewhere_is_found(nursery: trio.Nursery) -> None:
    async def linger() -> None:
        await trio.sleep_forever()

    async def leave() -> None:
        await trio.lowlevel.checkpoint()
        nursery.start_soon(linger)

    with pytest.raises(AssertionError, match=r"(?s)tasks are left .*linger.*await trio\.sleep_forever\(\)") as caught:
        await cancel_everywhere(leave)
    assert len(caught.value.__notes__) == 1
    nursery.cancel_scope.cancel()


async def test_a_task_that_is_about_to_end_is_waited_for(nursery: trio.Nursery) -> None:
    async def end_soon() -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()

    async def leave() -> None:
        await trio.lowlevel.checkpoint()
        nursery.start_soon(end_soon)

    assert await cancel_everywhere(leave) == 2


@pytest.mark.thorough
@pytest.mark.schedules(20)
async def test_every_run_follows_the_same_schedule(autojump_clock: MockClock) -> None:
    journeys: list[str] = []

    async def racer(name: str) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            journeys[-1] += name

    async def race() -> None:
        journeys.append("")
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(racer, name)

    assert await cancel_everywhere(race) == len(journeys) - 1
    assert all(journeys[-1].startswith(journey) for journey in journeys)
    assert len(journeys[-1]) == 9


@pytest.mark.thorough
def test_a_checkpoint_is_repeated_from_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntrio_mode = true\n")
    source = """
        import pytest, trio
        from mmids_trio.testing.cancellation import cancel_everywhere

        @pytest.mark.schedules(5)
        async def test_one():
            finished = []

            async def run():
                finished.clear()
                for number in range(9):
                    await trio.lowlevel.checkpoint()
                    finished.append(number)

            def check():
                print("run", *finished)
                assert finished != [0, 1, 2, 3]

            await cancel_everywhere(run, check)
    """
    pytester.makepyfile(textwrap.dedent(source))
    plugins = ("-p", "mmids_trio.testing.plugin", "-p", "no:randomly")
    first = pytester.runpytest_inprocess(*plugins)
    found = re.search(r"--schedule-seed=\d+", first.stdout.str()), re.search(r"--cancel-at=5:\d+", first.stdout.str())
    options = [match.group() for match in found if match]
    again = pytester.runpytest_inprocess(*plugins, *options)
    for result, runs in ((first, 5), (again, 1)):
        result.assert_outcomes(failed=1)
        assert len(re.findall(r"^run", result.stdout.str(), re.MULTILINE)) == runs
