"""Cancellation at every await: the test that an async function leaves nothing behind, wherever it is cancelled.

Apart from the rest because it leans on trio's instruments: which await a cancellation meets is decided by counting
the steps of tasks, not by time, so the test covers every await and gives the same result each time.
"""

import itertools
from collections.abc import Awaitable, Callable

import trio
from attrs import define, field


@define(eq=False)
class _Canceller(trio.abc.Instrument):
    """Cancels `scope` when the tasks below `root` have yielded `countdown` times."""

    scope: trio.CancelScope
    countdown: int
    root: trio.lowlevel.Task | None = field(default=None, init=False)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count; the task has just come to an await, so a cancellation meets it there."""
        if self.countdown and self._is_below_root(task):
            self.countdown -= 1
            if self.countdown == 0:
                self.scope.cancel()

    def _is_below_root(self, task: trio.lowlevel.Task | None) -> bool:
        while task is not None and task is not self.root:
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return task is not None

    async def run(self, async_fn: Callable[[], Awaitable[object]]) -> None:
        self.root = trio.lowlevel.current_task()
        await async_fn()


async def cancel_everywhere(
    async_fn: Callable[[], Awaitable[object]], check: Callable[[], object] = lambda: None
) -> int:
    """Run `async_fn` again and again: cancelled at its first await, at its second, ..., and at last not at all.

    Awaits of the tasks that it starts count too, as long as these live in nurseries below it.  `check` is called
    after each run, and raises what it finds wrong.  `async_fn` must end by itself and do the same each time.
    Returns how many times it was cancelled.
    """
    for number in itertools.count(1):
        canceller = _Canceller(trio.CancelScope(), number)
        trio.lowlevel.add_instrument(canceller)
        try:
            with canceller.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(canceller.run, async_fn)
        finally:
            trio.lowlevel.remove_instrument(canceller)
        check()
        if canceller.countdown:
            break
    return number - 1
