"""Exploring schedules: what priorities find, which switches matter, and that a list of switches repeats a failure."""

from collections.abc import Callable

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from mmids_trio.testing.exploring import explore, in_virtual_time
from mmids_trio.testing.schedules import LONGEST_WAIT, Order, Priorities, Schedule, Switch, schedule
from mmids_trio.testing.strategies import any_schedule

LENGTH = 12


def finishing_order(order: Order, tasks: str = "abcd") -> str:
    finished: list[str] = []

    async def racer(name: str) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        finished.append(name)

    async def race() -> None:
        async with trio.open_nursery() as nursery:
            for name in tasks:
                nursery.start_soon(racer, name)

    with schedule(order):
        in_virtual_time(race)
    return "".join(finished)


async def overtaken() -> None:
    """Fails when the second task comes to its end while the first is still at its beginning."""
    steps: list[int] = []

    async def walk(number: int) -> None:
        for _ in range(LENGTH):
            await trio.lowlevel.checkpoint()
            steps.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(walk, number)
    first, second = (steps.index(number) for number in (0, 1))
    if steps[: LENGTH + first].count(1) == LENGTH and second < first:
        raise ValueError("overtaken")


async def needs_two_switches() -> None:
    """Fails when a counter that is read and written in two steps is read by three tasks in unlucky places."""
    counts = {"value": 0}

    async def add() -> None:
        value = counts["value"]
        await trio.lowlevel.checkpoint()
        counts["value"] = value + 1

    async def one_after_another() -> None:
        for _ in range(4):
            await add()

    async def late() -> None:
        for _ in range(30):
            await trio.lowlevel.checkpoint()
        await add()
        await add()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one_after_another)
        nursery.start_soon(late)
    assert counts["value"] == 6, "a count was lost"


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is what the tests are about
        call()
    return caught.value


def note_of(error: BaseException) -> str:
    return "\n".join(error.__notes__)


def test_without_switches_tasks_run_in_the_order_of_their_creation() -> None:
    assert finishing_order(Schedule()) == "abcd"


def test_a_switch_lets_a_task_go_first_or_run_alone() -> None:
    assert "cabd" in {finishing_order(Schedule((Switch(number, (2,)),))) for number in range(1, 9)}
    assert "dabc" in {finishing_order(Schedule((Switch(number, (3,), rounds=5),))) for number in range(1, 9)}


@pytest.mark.thorough
def test_a_task_with_the_highest_priority_runs_to_its_end_and_change_points_end_that() -> None:
    unchanged = {finishing_order(Priorities(seed, changes=0)) for seed in range(200)}
    assert len(unchanged) == 24
    assert finishing_order(Priorities(3)) == finishing_order(Priorities(3))


def test_a_task_that_spins_does_not_starve_the_one_that_it_waits_for() -> None:
    waited = []

    async def spin() -> None:
        over = False

        async def finish() -> None:
            nonlocal over
            over = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish)
            for rounds in range(10 * LONGEST_WAIT):
                if over:
                    waited.append(rounds)
                    break
                await trio.lowlevel.checkpoint()

    for seed in range(30):
        with schedule(Priorities(seed, changes=0)):
            trio.run(spin, clock=MockClock(autojump_threshold=0))
    assert len(waited) == 30
    assert LONGEST_WAIT <= max(waited) <= LONGEST_WAIT + 2


@pytest.mark.thorough
def test_priorities_find_what_random_orders_do_not() -> None:
    def fails(order: Order) -> bool:
        with schedule(order):
            try:
                in_virtual_time(overtaken)
            except ValueError:
                return True
        return False

    assert not any(fails(seed) for seed in range(300))
    assert any(fails(Priorities(seed, changes=0)) for seed in range(20))


def test_a_failure_names_the_switches_that_matter_and_they_repeat_it() -> None:
    error = raised(lambda: explore(needs_two_switches, schedules=2000))
    note = note_of(error)
    only = note.partition("only='")[2].partition("'")[0]
    assert str(error).startswith("a count was lost")
    assert len(Schedule.parse(only).switches) <= 4
    assert f"  {Schedule.parse(only).switches[0]}  at 0.000 s " in note
    assert "late (test_exploring.py:" in note
    again = raised(lambda: explore(needs_two_switches, only=only))
    assert str(again) == str(error)


def test_none_of_the_switches_that_are_left_can_be_left_out() -> None:
    note = note_of(raised(lambda: explore(needs_two_switches, schedules=2000)))
    switches = Schedule.parse(note.partition("only='")[2].partition("'")[0]).switches
    for index in range(len(switches)):
        assert explore(needs_two_switches, only=str(Schedule(switches[:index] + switches[index + 1 :]))) == 1


def test_what_fails_in_every_order_needs_no_switch() -> None:
    async def fail() -> None:
        raise LookupError("always")

    assert "it fails in the plain order of tasks: no switch matters" in note_of(raised(lambda: explore(fail)))


def test_what_fails_once_is_said_to_depend_on_something_else() -> None:
    runs = []

    async def fail_the_third_time() -> None:
        runs.append(1)
        assert len(runs) != 3

    assert "depends on something besides the schedule" in note_of(raised(lambda: explore(fail_the_third_time)))


def test_what_passes_runs_under_all_schedules() -> None:
    runs = []

    async def count() -> None:
        runs.append(trio.current_time())

    assert explore(count, schedules=17) == 17
    assert runs == [0] * 17


@given(any_schedule())
def test_a_schedule_is_read_as_it_is_written(found: Schedule) -> None:
    assert Schedule.parse(str(found)) == found


@given(st.data())
def test_any_schedule_runs_every_task_to_its_end(data: st.DataObject) -> None:
    assert sorted(finishing_order(data.draw(any_schedule(rounds=12)))) == list("abcd")


@pytest.mark.parametrize("text", ["x", "1:", "1:2 3", "1:2*"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Schedule.parse(text)


async def test_inside_of_trio_it_says_where_to_call_it() -> None:
    with pytest.raises(RuntimeError, match="explore runs trio itself, many times: call it in a test without `async`"):
        explore(overtaken)
