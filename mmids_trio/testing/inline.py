"""Work for threads, done at once: a mock clock would jump to the next deadline while a thread still works."""

from collections.abc import Callable
from typing import TypeVar

import trio

Result = TypeVar("Result")


async def inline(work: Callable[[], Result]) -> Result:
    """An `offload.Offload` without a thread."""
    await trio.lowlevel.checkpoint()
    return work()
