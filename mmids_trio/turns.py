"""Work in pieces, between which others have their turns: what would hold up the loop is written as a generator."""

from collections.abc import Generator
from typing import TypeVar

import trio

T = TypeVar("T")


async def in_turns(work: Generator[None, None, T]) -> T:
    """Do all of it, with a checkpoint at every `yield`; its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await trio.lowlevel.checkpoint()
