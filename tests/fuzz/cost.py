"""What an input costs, counted instead of measured: calls of functions, the same on every machine and every day.

A bound on them for each byte finds what grows faster than its input. It does not see how many bytes one call moves.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from attrs import define

COUNTED = frozenset({"call", "c_call"})


@define
class Counter:
    """How many calls there were in a `counting` block so far."""

    calls: int = 0


@contextmanager
def counting() -> Iterator[Counter]:
    """Count every call of a function, of Python or of C, in this thread."""
    counter = Counter()

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        if event in COUNTED:
            counter.calls += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield counter
    finally:
        sys.setprofile(before)


def calls_of(act: Callable[[bytes], None], data: bytes) -> int:
    """How many calls `act(data)` makes."""
    with counting() as counter:
        act(data)
    return counter.calls
