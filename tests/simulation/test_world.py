"""An hour, or a day, of a server with a hundred streams: everybody is served, nothing is left, and memory stays flat.

Time is trio's mock clock. The day runs where it is asked for: `scripts/test -m simulation`.
"""

import pytest
from trio.testing import MockClock

from mmids_trio.testing.recorder import Recorder
from tests.support.long_run import LULL_SECONDS, STREAMS, World, world

pytestmark = pytest.mark.thorough

HOUR = 3600.0
HOURS_OF_THE_DAY = 24
SECONDS_OF_A_ROUND = 1200.0

PACKETS_FOR_AN_OBJECT = 2
"""A leak is noticed in a short time if it keeps one object for so many packets; what caches take is far less."""


async def live_through(people: World, rounds: int, seconds: float) -> tuple[int, int]:
    """The growth of memory from the end of the first round to the end of the last, and the packets in between."""
    await people.run_for(seconds - LULL_SECONDS)
    blocks, sent = await people.lull(), people.sent
    for _ in range(rounds - 1):
        await people.run_for(seconds - LULL_SECONDS)
        last = await people.lull()
    return last - blocks, people.sent - sent


@pytest.mark.schedules(1)
async def test_after_an_hour_of_a_hundred_streams_nothing_is_left(
    schedule_seed: int, autojump_clock: MockClock
) -> None:
    async with world(schedule_seed) as people:
        growth, packets = await live_through(people, 3, SECONDS_OF_A_ROUND)
        assert packets > 100 * STREAMS
        assert growth < packets / PACKETS_FOR_AN_OBJECT
        assert people.seen > 100
        assert people.publications > STREAMS
        assert people.flaps > 5


@pytest.mark.schedules(1)
async def test_memory_that_is_not_let_go_of_is_noticed(schedule_seed: int, autojump_clock: MockClock) -> None:
    keeper = Recorder()
    async with world(schedule_seed, ["keep"], [keeper.step_type("keep")]) as people:
        growth, packets = await live_through(people, 2, SECONDS_OF_A_ROUND / 2)
        assert growth > packets / PACKETS_FOR_AN_OBJECT


@pytest.mark.simulation
@pytest.mark.schedules(1)
async def test_after_a_day_of_a_hundred_streams_nothing_is_left(schedule_seed: int, autojump_clock: MockClock) -> None:
    async with world(schedule_seed) as people:
        await people.run_for(HOUR - LULL_SECONDS)
        await people.lull()
        publications = people.publications
        growth, packets = await live_through(people, HOURS_OF_THE_DAY - 1, HOUR)
        assert packets > 5_000 * STREAMS
        assert growth < people.publications - publications  # not one object for each
        assert people.changes >= 24 * 5
