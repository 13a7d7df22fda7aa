"""Schedules: in which order trio runs tasks that could run now, decided by a seed.

Apart from the pytest plugin, so that tests which call `trio.run` themselves can choose a schedule too: trio shuffles
the tasks of each of its rounds with a random source of its own, which is seeded here as trio's and Hypothesis' own
tests do it.  The same seed gives the same run, as long as the test touches no socket, thread, process or real clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from trio._core import _run

SEED_BITS = 32
"""Short enough to be copied from a report by hand."""


@contextmanager
def schedule(seed: int) -> Iterator[None]:
    """What trio runs inside follows the schedule of `seed`; the random source goes on as before afterwards.

    `with schedule(7): trio.run(main, clock=MockClock(autojump_threshold=0))`
    """
    state, was_deterministic = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r.seed(seed)
    # Without it trio does not sort a round's tasks before it shuffles them, and sets of tasks have no order.
    _allow_determinism(True)
    try:
        yield
    finally:
        _run._r.setstate(state)
        _allow_determinism(was_deterministic)


def _allow_determinism(allowed: bool) -> None:
    _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]  # trio's own switch, said to be constant


def draw_seed() -> int:
    """A seed that follows from the schedule at work (and is any seed where there is none)."""
    return _run._r.getrandbits(SEED_BITS)


def seeds(base: int, test: str, count: int) -> list[int]:
    """`count` seeds for a test's schedules: the same for the same base seed and name of the test."""
    random = Random(f"{base} {test}")
    return [random.getrandbits(SEED_BITS) for _ in range(count)]
