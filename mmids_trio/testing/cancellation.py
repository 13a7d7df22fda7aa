"""Cancellation at every checkpoint: the test that an async function leaves nothing behind, wherever it is cancelled.

Apart from the rest because it leans on trio's instruments: which checkpoint a cancellation meets is decided by
counting the steps of tasks, not by time, so the test covers every checkpoint and gives the same result each time.
"""

import itertools
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import trio
from attrs import define, field
from trio.testing import wait_all_tasks_blocked

from mmids_trio.testing.schedules import draw_seed, schedule

_chosen: ContextVar[tuple[int, int] | None] = ContextVar("chosen", default=None)
"""Checkpoint and seed of `cancel_only_at`."""

NEVER = 0
"""No checkpoint has this number."""


@contextmanager
def cancel_only_at(checkpoint: int, seed: int) -> Iterator[None]:
    """Every `cancel_everywhere` inside does as if it were called with `only=checkpoint, seed=seed`."""
    token = _chosen.set((checkpoint, seed))
    try:
        yield
    finally:
        _chosen.reset(token)


@define(eq=False)
class _Canceller(trio.abc.Instrument):
    """Cancels `scope` when the tasks below `root` come to their checkpoint number `at`, and counts them all."""

    at: int
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    count: int = field(default=0, init=False)
    place: str = field(default="", init=False)
    root: trio.lowlevel.Task | None = field(default=None, init=False)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count; the task has just come to a checkpoint, so a cancellation meets it there.

        Or it has just ended, and the others are cancelled where they are.
        """
        if self._is_below_root(task):
            self.count += 1
            if self.count == self.at:
                self.place = place_of(task)
                self.scope.cancel()

    def _is_below_root(self, task: trio.lowlevel.Task | None) -> bool:
        while task is not None and task is not self.root:
            task = None if task.parent_nursery is None else task.parent_nursery.parent_task
        return task is not None

    async def run(self, async_fn: Callable[[], Awaitable[object]]) -> None:
        trio.lowlevel.add_instrument(self)
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._run_as_root, async_fn)
        finally:
            trio.lowlevel.remove_instrument(self)

    async def _run_as_root(self, async_fn: Callable[[], Awaitable[object]]) -> None:
        self.root = trio.lowlevel.current_task()
        await async_fn()


async def cancel_everywhere(
    async_fn: Callable[[], Awaitable[object]],
    check: Callable[[], object] = lambda: None,
    *,
    only: int | None = None,
    seed: int | None = None,
) -> int:
    """Run `async_fn` again and again: cancelled at its first checkpoint, at its second, ..., and at last not at all.

    Checkpoints of the tasks that it starts count too, as long as these live in nurseries below it; so does the end
    of a task, where the others are cancelled.  After each run
    no task may be left that was not there before, and `check` is called, which raises what it finds wrong
    (`Harness.assert_quiet` of a harness that the run has left, for example).  `async_fn` must end by itself and do
    the same each time: every run follows the same schedule, that of `seed`, which without one is drawn from the
    test's own.  What goes wrong in a run has a note with the place of the cancellation, and with what to call to
    repeat it: `only` cancels at this checkpoint alone.  Returns how many checkpoints there are.
    """
    if (chosen := _chosen.get()) is not None:
        only, seed = chosen
    seed = draw_seed() if seed is None else seed
    places = itertools.count(1) if only is None else (only, NEVER)
    count = 0
    for number in places:
        count = await _run_once(async_fn, check, _Canceller(number), seed)
        if count < number:
            break
    return count


async def _run_once(
    async_fn: Callable[[], Awaitable[object]], check: Callable[[], object], canceller: _Canceller, seed: int
) -> int:
    """Returns how many checkpoints the run has come to."""
    before = _all_tasks()
    try:
        with schedule(seed):
            await canceller.run(async_fn)
        await _require_no_task_beyond(before)
        check()
    except Exception as error:
        error.add_note(_note(canceller, seed))
        raise
    return canceller.count


def _note(canceller: _Canceller, seed: int) -> str:
    if not canceller.place:
        return f"in the run that was not cancelled (schedule seed {seed})"
    again = f"cancel_everywhere(..., only={canceller.at}, seed={seed}), or pytest --cancel-at={canceller.at}:{seed}"
    return f"cancelled at checkpoint {canceller.at}, in {canceller.place}\nrepeat it with {again}"


async def _require_no_task_beyond(before: set[trio.lowlevel.Task]) -> None:
    if _all_tasks() - before:
        await wait_all_tasks_blocked()  # those of a server that has just lost a client may be about to end
    left = sorted(_all_tasks() - before, key=lambda task: task.name)
    places = "\n".join(place_of(task) for task in left)
    assert not left, f"tasks are left that were not there before:\n{places}"


def _all_tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    found, unvisited = set(), [root] if root else []
    while unvisited:
        task = unvisited.pop()
        found.add(task)
        unvisited += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


def place_of(task: trio.lowlevel.Task) -> str:
    """Where a task waits: its name, and the lines of a traceback, the innermost last."""
    if not (frames := traceback.StackSummary.extract(task.iter_await_frames(), lookup_lines=False)):
        return f"task {task.name}, which ended just then"
    return f"task {task.name}:\n{''.join(frames.format()).rstrip()}"
