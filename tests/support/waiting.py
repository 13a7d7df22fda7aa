"""Waiting for what tells nobody: files, processes, answers of an API. Looked at again and again, for a bounded time."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from tests.support.processes import HANG_SECONDS

LOOK_SECONDS = 0.05
"""Between two looks."""

T = TypeVar("T")


async def eventually(look: Callable[[], T | None], what: str) -> T:
    """What `look` returns as soon as it is true; raises `AssertionError` with what it was in vain."""

    async def look_at_once() -> T | None:
        return look()

    return await eventually_answered(look_at_once, what)


async def eventually_answered(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """`eventually`, for what has to be asked for."""
    seen: T | None = None
    with trio.move_on_after(HANG_SECONDS):
        while True:
            if seen := await look():
                return seen
            await trio.sleep(LOOK_SECONDS)
    raise AssertionError(f"no {what} after {HANG_SECONDS} s, but {seen!r}")
