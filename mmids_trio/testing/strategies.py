"""Hypothesis strategies of schedules and streams; what fails shrinks to few switches and few events.

Apart from the rest, and the last of the modules, because Hypothesis need not be installed for anything else.
"""

from itertools import accumulate

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mmids_trio.media.events import MediaEvent
from mmids_trio.testing.event_sequences import Move, events_of
from mmids_trio.testing.odd_streams import DIRTY_METADATA, OddStream, zoo
from mmids_trio.testing.schedules import LONGEST_WAIT, Schedule, Switch

MOST_TASKS = 6
"""Places of tasks that switches name; there are seldom more that could run at once."""


def any_schedule(*, switches: int = 8, rounds: int = 300) -> SearchStrategy[Schedule]:
    """Schedules with so many switches at most, among the first `rounds`: `with schedule(order): trio.run(...)`.

    They shrink to fewer switches, and at last to the plain order.
    """
    one = st.tuples(
        st.integers(1, max(rounds // switches, 1)), st.integers(0, MOST_TASKS - 1), st.integers(0, LONGEST_WAIT)
    )
    return st.lists(one, max_size=switches).map(_one_behind_the_other)


def _one_behind_the_other(found: list[tuple[int, int, int]]) -> Schedule:
    """Each so many rounds behind the one before it."""
    places = accumulate(distance for distance, _, _ in found)
    return Schedule(tuple(Switch(place, (task,), alone) for place, (_, task, alone) in zip(places, found, strict=True)))


def any_events(*, streams: int = 3, moves: int = 60, all_end: bool = True) -> SearchStrategy[list[MediaEvent]]:
    """Legal sequences of the events of so many streams at most, for the inbox of a step.

    They shrink to fewer streams and fewer events, and at last to none.
    """
    move = st.tuples(st.integers(0, streams - 1), st.sampled_from(Move))
    return st.lists(move, max_size=moves).map(lambda found: events_of(found, all_end=all_end))


def any_odd_stream() -> SearchStrategy[OddStream]:
    """Streams of the zoo; they shrink to shorter ones of the first kinds."""
    seconds = st.integers(1, 8).map(float)
    lag = st.integers(0, 400)
    sizes = st.lists(st.sampled_from([(640, 360), (320, 180), (1280, 720)]), min_size=1, max_size=3)
    return st.one_of(
        st.builds(zoo.wrapping_clock, at=st.sampled_from([2**24, 2**31, 2**32]), audio_lag_ms=lag, seconds=seconds),
        st.builds(zoo.restarting_clock, after_s=seconds, audio_lag_ms=lag, seconds=seconds),
        st.builds(zoo.jump_forward, by_ms=st.integers(1, 2**31), after_s=seconds, seconds=seconds),
        st.builds(zoo.uptime_second_packet, uptime_ms=st.integers(1, 2**31), seconds=seconds),
        st.builds(zoo.changing_size, sizes=sizes, every_s=seconds),
        st.builds(zoo.late_headers, by_s=seconds, seconds=seconds),
        st.builds(zoo.dirty_metadata, form=st.sampled_from(sorted(DIRTY_METADATA)), seconds=seconds),
    )
