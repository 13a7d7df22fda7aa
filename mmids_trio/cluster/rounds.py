"""What a node asks its registry again and again: each question at its time, a bounded number at once.

While the registry is away each question takes `ASK_SECONDS`, and they come to be late; as soon as it is back they are
caught up with, whichever is most overdue first.
"""

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

import trio
from attrs import define, field

Ask = Callable[[], Awaitable[float | None]]
"""Asks once; returns in how many seconds it wants to ask again, `None` for never. May not raise."""

AT_ONCE = 16
"""Questions on their way to a registry: enough for thousands a second, too few to crowd it when it comes back."""


@define(eq=False)
class Recurring:
    """A question that comes again."""

    ask: Ask
    due: float
    is_stopped: bool = False
    is_asking: bool = False
    is_hurried: bool = False


@define(eq=False)
class Rounds:
    """The questions of one kind."""

    _at_once: int = AT_ONCE
    _waiting: list[tuple[float, int, Recurring]] = field(factory=list, init=False)
    """A heap. Where its time is not that of the question, the question has moved."""
    _numbers: "count[int]" = field(factory=count, init=False)
    _asking: int = field(default=0, init=False)
    """How many are on their way."""
    _wakes_at: float = field(default=inf, init=False)
    """When the task looks by itself for what is due."""
    _stir: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    def add(self, ask: Ask, in_seconds: float = 0.0) -> Recurring:
        """Ask from then on."""
        question = Recurring(ask, inf)
        self._move(question, trio.current_time() + in_seconds)
        return question

    def hurry(self, question: Recurring) -> None:
        """Ask now, or once more where it is being asked."""
        if question.is_asking:
            question.is_hurried = True
        else:
            self._move(question, trio.current_time())

    def stop(self, question: Recurring) -> None:
        """Ask no more. Where it is being asked, the answer comes yet."""
        question.is_stopped = True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask, until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                while (question := self._take()) is not None:
                    self._asking += 1
                    nursery.start_soon(self._ask, question)
                is_full = self._asking >= self._at_once
                self._wakes_at = self._waiting[0][0] if self._waiting and not is_full else inf
                with trio.move_on_at(self._wakes_at):
                    await self._stir.park()

    def _take(self) -> Recurring | None:
        now = trio.current_time()
        while self._asking < self._at_once and self._waiting and self._waiting[0][0] <= now:
            due, _, question = heappop(self._waiting)
            if due == question.due and not question.is_stopped:
                question.is_asking, question.due = True, inf
                return question
        return None

    async def _ask(self, question: Recurring) -> None:
        try:
            again = None if question.is_stopped else await question.ask()
        finally:
            self._asking -= 1
        question.is_asking = False
        if question.is_hurried:
            question.is_hurried, again = False, 0.0
        if again is not None and not question.is_stopped:
            self._move(question, trio.current_time() + again)
        if self._asking == self._at_once - 1:  # others may have waited for room
            self._stir.unpark_all()

    def _move(self, question: Recurring, due: float) -> None:
        if due < question.due or question.due == inf:
            question.due = due
            heappush(self._waiting, (due, next(self._numbers), question))
            if due < self._wakes_at:
                self._stir.unpark_all()
