"""Who gets a place for a child, in which order, and what becomes of those who wait."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.ffmpeg.capacity import Capacity, Claim, Delay, Encoding
from mmids_trio.ffmpeg.state import ChildPhase
from mmids_trio.ffmpeg.supervisor import Supervisor
from mmids_trio.testing.cancellation import cancel_everywhere
from mmids_trio.testing.processes import Behaviour, FakeSpawner

MakeSupervisor = Callable[..., Supervisor]


def asked(capacity: Capacity, *rates: int, is_slate: bool = False) -> list[tuple[Claim, ExitStack]]:
    """Claims for these rates (0: nothing is encoded), and what gives each back."""
    claims = []
    for rate in rates:
        stack = ExitStack()
        claim = stack.enter_context(capacity.place(Encoding(rate, is_slate) if rate else None))
        claims.append((claim, stack))
    return claims


def admitted(claims: list[tuple[Claim, ExitStack]]) -> list[bool]:
    return [claim.is_admitted for claim, _ in claims]


def test_places_are_given_in_the_order_of_asking() -> None:
    capacity = Capacity(max_children=2)
    claims = asked(capacity, 0, 0, 0, 0)
    assert admitted(claims) == [True, True, False, False]
    assert (capacity.running, capacity.waiting) == (2, 2)
    claims[1][1].close()
    assert admitted(claims) == [True, True, True, False]
    claims[0][1].close()
    assert admitted(claims) == [True] * 4
    assert capacity.delays[Delay.CHILDREN] == 2


def test_who_leaves_the_line_makes_no_room_and_holds_nobody_up() -> None:
    capacity = Capacity(max_children=1)
    claims = asked(capacity, 0, 0, 0)
    claims[1][1].close()
    assert admitted(claims) == [True, False, False]
    claims[0][1].close()
    assert admitted(claims) == [True, False, True]
    claims[2][1].close()
    assert (capacity.running, capacity.waiting) == (0, 0)


def test_encoders_together_stay_below_the_rate_and_others_do_not_count() -> None:
    capacity = Capacity(max_encode_rate=100)
    claims = asked(capacity, 60, 0, 41, 40, 1)
    assert admitted(claims) == [True, True, False, True, False]
    assert capacity.encode_rate == 100
    claims[3][1].close()
    assert admitted(claims) == [True, True, False, True, True], "one that needs less is not held up"
    claims[0][1].close()
    assert admitted(claims)[2]
    assert capacity.encode_rate == 42
    assert claims[2][0].why() == "waits: to encode 41 pixels a second as well would be more than 100 (max_encode_rate)"


def test_one_that_is_too_large_by_itself_never_begins_and_says_so() -> None:
    capacity = Capacity(max_encode_rate=100)
    [(claim, _)] = asked(capacity, 101)
    assert not claim.is_admitted
    assert (
        claim.why() == "is not started: it would encode 101 pixels a second, at most 100 are allowed (max_encode_rate)"
    )
    assert claim.encoding is not None
    assert claim.encoding.change(100, 100)
    assert claim.is_admitted


def test_one_slate_at_a_time_is_made() -> None:
    capacity = Capacity()
    claims = asked(capacity, 1, 1, is_slate=True)
    assert admitted(claims) == [True, False]
    assert claims[1][0].why() == "waits: another slate is being made"
    claims[0][1].close()
    assert admitted(claims) == [True, True]


def test_one_that_grows_keeps_its_place_only_where_there_is_room() -> None:
    capacity = Capacity(max_encode_rate=100)
    (grows, place), (waits, _) = claims = asked(capacity, 60, 50)
    assert grows.encoding is not None
    assert grows.encoding.change(100, 100)
    assert capacity.encode_rate == 100
    assert not grows.encoding.change(101, 101)
    assert capacity.encode_rate == 100, "what it has counted for until it is gone"
    assert grows.encoding.change(50, 50)
    assert admitted(claims) == [True, True]
    place.close()
    assert capacity.encode_rate == 50
    assert waits.rate == 50


def phase(watched: Supervisor) -> ChildPhase:
    return watched.state.phase


async def test_a_child_waits_for_its_place_and_says_so(autojump_clock: MockClock, supervisor: MakeSupervisor) -> None:
    capacity, spawner = Capacity(max_children=1), FakeSpawner([Behaviour(exits_after=10), Behaviour()])
    first, second = supervisor(spawner, capacity=capacity), supervisor(spawner, capacity=capacity)
    forgotten: list[str] = []
    second.on_wait = lambda: forgotten.append("once")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await wait_all_tasks_blocked()
        nursery.start_soon(second.run)
        await trio.sleep(5)
        assert phase(second) is ChildPhase.WAITING
        assert second.state.message == "waits: 1 children run already (max_children)"
        await trio.sleep(5.1)
        assert phase(second) is ChildPhase.RUNNING
        assert second.state.message is None
        await trio.sleep(1)
        assert phase(first) is ChildPhase.WAITING, "one that ended asks anew, behind the others"
        assert forgotten == ["once"]
        assert len(spawner.running) == 1
        nursery.cancel_scope.cancel()
    assert (capacity.running, capacity.waiting) == (0, 0)
    spawner.check_nothing_is_left()


async def test_a_child_that_nobody_needs_any_more_leaves_the_line(
    autojump_clock: MockClock, supervisor: MakeSupervisor
) -> None:
    capacity, spawner = Capacity(max_children=1), FakeSpawner()
    with capacity.place():
        watched = supervisor(spawner, capacity=capacity)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.run)
            await trio.sleep(5)
            watched.finish()
        assert (capacity.waiting, spawner.attempts) == (0, [])
        assert watched.state.phase is ChildPhase.STOPPED


@pytest.mark.thorough
@pytest.mark.parametrize("rate", [0, 60])
async def test_children_cancelled_anywhere_leave_no_place_taken(
    rate: int, autojump_clock: MockClock, supervisor: MakeSupervisor
) -> None:
    capacity, spawner = Capacity(), FakeSpawner()

    async def life() -> None:
        nonlocal capacity, spawner
        capacity = Capacity(1 if not rate else 9, max_encode_rate=100)
        spawner = FakeSpawner([Behaviour(exits_after=1), Behaviour(exits_after=1), Behaviour()], takes=0.01)
        with trio.move_on_after(3):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    encoding = Encoding(rate) if rate else None
                    nursery.start_soon(supervisor(spawner, capacity=capacity, encoding=encoding).run)

    def check() -> None:
        assert (capacity.running, capacity.waiting, capacity.encode_rate) == (0, 0, 0)
        spawner.check_nothing_is_left()

    assert await cancel_everywhere(life, check) > 20
    assert len(spawner.processes) == 3
