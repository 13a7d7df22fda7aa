"""Work that blocks, and so runs beside trio's loop: the one way to hand it over.

A seam, because a mock clock does not wait for threads: tests have the same work done at once, in the loop's own thread
(`testing.harness`).
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

Result = TypeVar("Result")


Work = Callable[[], object]
"""What may block, and is worth doing for its effect alone."""


class Offload(Protocol):
    """Does `work` and returns its result, or raises what it raises."""

    async def __call__(self, work: Callable[[], Result]) -> Result:
        """`work` may block, and must not touch what belongs to the loop."""


async def in_thread(work: Callable[[], Result]) -> Result:
    """An `Offload` to a thread of trio's. Cancelled, it does not wait: the work goes on, and its result is lost."""
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
