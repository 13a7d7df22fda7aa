"""Calls of functions, counted: what time grows with, the same on every machine and at every load.

Calls of types and what one call moves are not seen. Collections of garbage are put off, since their callbacks
(Hypothesis has some) would be counted.
"""

import gc
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Every call in this thread within the block, of Python and of C, by qualified name; `total()` for how many."""
    seen: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            seen[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            seen[getattr(argument, "__qualname__", "?")] += 1

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()


def calls(work: Callable[[], object]) -> Counter[str]:
    """Those while `work` runs."""
    with counted_calls() as seen:
        work()
    return seen - Counter(("setprofile", "_GeneratorContextManager.__exit__", "counted_calls", "next"))
