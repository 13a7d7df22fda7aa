"""Questions that come again are asked at their time, and no more of them at once than may be."""

from functools import partial

import trio
from attrs import define, field
from trio.testing import MockClock

from mmids_trio.cluster.rounds import AT_ONCE, Rounds


@define(eq=False)
class Asked:
    """When questions were asked, each of which takes a second, and how many at once."""

    at: list[tuple[str, float]] = field(factory=list)
    now: int = 0
    most: int = 0

    async def ask(self, name: str, again: float | None) -> float | None:
        self.at.append((name, trio.current_time()))
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.sleep(1)
        self.now -= 1
        return again


async def test_a_bounded_number_is_asked_at_once_and_the_others_as_soon_as_there_is_room(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    asked, rounds = Asked(), Rounds()
    for number in range(2 * AT_ONCE + 1):
        rounds.add(partial(asked.ask, str(number), None))
    await nursery.start(rounds.run)
    await trio.sleep(10)
    assert asked.most == AT_ONCE
    assert [at for _, at in asked.at] == [0.0] * AT_ONCE + [1.0] * AT_ONCE + [2.0]


async def test_a_question_that_is_due_earlier_than_all_others_does_not_wait_for_them(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    asked, rounds = Asked(), Rounds()
    await nursery.start(rounds.run)
    late = rounds.add(lambda: asked.ask("late", 9), 20)
    rounds.add(lambda: asked.ask("early", None), 5)
    await trio.sleep(7)
    rounds.hurry(late)
    await trio.sleep(0.5)
    rounds.hurry(late)
    await trio.sleep(20)
    assert asked.at == [("early", 5.0), ("late", 7.0), ("late", 8.0), ("late", 18.0)]


async def test_a_question_that_was_stopped_is_not_asked_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    asked, rounds = Asked(), Rounds()
    await nursery.start(rounds.run)
    for at in (2.5, 5.0):
        question = rounds.add(lambda: asked.ask("it", 2))
        await trio.sleep(at)
        rounds.stop(question)
        await trio.sleep(10)
    assert [at for _, at in asked.at] == [0.0, 12.5, 15.5]
