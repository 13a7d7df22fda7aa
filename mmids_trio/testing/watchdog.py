"""The watchdog: ends a test that does not go on, and says why.

It is an instrument of trio, so it sees each round of the loop: one in which nothing can run and no deadline is due is a
deadlock, and a hundred thousand steps without virtual time a livelock.  An instrument cannot raise, so the error is
thrown into a task, as trio does with `KeyboardInterrupt`: into the one that runs the test, so that it ends as any test
that fails; where that does not help, because others are shielded or swallow what they are told, into those.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from math import inf
from types import FrameType
from typing import NoReturn

import outcome
import trio
from attrs import define, field, frozen
from trio._core import _run
from trio._core._ki import ki_protection_enabled
from trio.testing import MockClock

from mmids_trio.testing.real_time import Blocked, LoopTimes
from mmids_trio.testing.stuck import (
    OF_TRIO,
    BlockingCall,
    Deadlock,
    Livelock,
    Stuck,
    TookTooLong,
    describe_frame,
    describe_tasks,
    own_frames,
    waits_for_the_outside,
)
from mmids_trio.workflow.running_step import RunningStep

MOST_BLOCKED = 5
"""Blocking calls that a text describes."""

LOOK_EVERY = 1_000
"""Steps between two looks at the clock and at what has arrived; those behind the last one are named."""

STEPS_TO_END = 10_000
"""Of tasks that were told of a livelock, until they are told again."""

AGAIN_S = 0.05
"""Of real time, until an idle loop that a thread or a socket may wake is looked at again."""

MOST_ERRORS = 100
"""Thrown into the test at one moment of virtual time."""

MOST_ERRORS_OF_OTHERS = 3
"""The same of other tasks; then they end, whether they want to or not."""

TEST_OF_PYTEST_TRIO = "<test "
"""How the name of the task begins that runs a test; those of fixtures have other names."""


@frozen
class Limits:
    """From where on a test does not go on; `inf` for never."""

    steps: float = 100_000
    """Steps of tasks without virtual time, while nothing arrives in the network or in an event: a livelock."""
    most_steps: float = 2_000_000
    """Steps of tasks without virtual time, whatever arrives."""
    idle_s: float = 86_400.0
    """Virtual time in which a server has no event and no new connection, while the test waits without a deadline: a
    deadlock, although the server does this and that."""
    real_s: float = 120.0
    """Real time of one run, the last resort."""
    blocking_s: float = 0.05
    """How long one step of a task may keep the loop, in real time."""


_LIMITS: ContextVar[Limits | None] = ContextVar("limits", default=None)
"""Those of the test that is at work, for a harness on a clock that moves by itself."""


@define(eq=False)
class Watchdog(trio.abc.Instrument):
    """For `trio.run(main, instruments=[Watchdog()])` on a `MockClock`; the kit's harness and fixtures bring one along.

    `Deadlock`, `Livelock` and `TookTooLong` are raised in the task `told`: unless it is given, the one that runs a test
    of pytest-trio's, or the main one.
    """

    limits: Limits = field(factory=Limits)
    told: trio.lowlevel.Task | None = None
    progress: list[Callable[[], object]] = field(factory=list)
    """What changes when something arrives."""
    of_servers: list[Container[trio.lowlevel.Task]] = field(factory=list)
    """Tasks whose deadlines are not the test's."""
    news: list[Callable[[], object]] = field(factory=list)
    """What changes when something happens that a test may wait for."""
    blocked: list[Blocked] = field(factory=list, init=False)
    """Steps of judged tasks that kept the loop for too long."""
    _judged: list[Callable[[trio.lowlevel.Task], bool]] = field(factory=list, init=False)
    _times: LoopTimes = field(init=False)
    _steps: int = field(default=0, init=False)
    """Since virtual time went by."""
    _quiet_since: int = field(default=0, init=False)
    """The step at which something arrived last."""
    _seen: tuple[object, ...] = field(default=(), init=False)
    _seen_at: float = field(default=-inf, init=False)
    _runs: Counter[str] = field(factory=Counter, init=False)
    """Tasks of which name took the latest steps: by name, for tasks that have ended are not to be kept."""
    _due: dict[trio.lowlevel.Task, Stuck] = field(factory=dict, init=False)
    """Errors for tasks that are about to run anyway."""
    _thrown: int = field(default=0, init=False)
    """Errors since virtual time went by."""
    _thrown_at_others: int = field(default=0, init=False)
    _news: tuple[object, ...] = field(default=(), init=False)
    _news_at: float = field(default=0.0, init=False)
    _asked_at: float = field(default=0.0, init=False)
    _look_again_at: float = field(default=0.0, init=False)
    _late: str | None = field(default=None, init=False)
    """Real time is over, which is to be said at the next occasion."""

    def __attrs_post_init__(self) -> None:
        self._times = LoopTimes(self.limits.real_s, self.limits.blocking_s, self._end_of_real_time)

    # Hooks of trio's.

    def before_run(self) -> None:
        """See `trio.abc.Instrument`."""
        self._times.start()

    def after_run(self) -> None:
        """See `trio.abc.Instrument`."""
        self._times.stop()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        self._steps += 1
        if self._steps % LOOK_EVERY == 0:
            self._look_for_livelock()
        self._runs[task.name] += 1
        if self._due and task in self._due and task._next_send is not None:
            task._next_send = outcome.Error(self._due.pop(task))
        self._times.task = task
        self._times.began = time.perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See `trio.abc.Instrument`."""
        blocked = self._times.step_ended()
        if blocked is not None and any(is_judged(task) for is_judged in self._judged):
            self.blocked.append(blocked)

    def before_io_wait(self, timeout: float) -> None:
        """See `trio.abc.Instrument`."""
        if self._late is not None:
            late, self._late = self._late, None
            self._throw(TookTooLong, late)
        if self._is_idle():
            self._throw(
                Deadlock, f"deadlock: nothing new for {self.limits.idle_s:g} s of virtual time; the test waits on"
            )
        if _nothing_can_happen() and time.monotonic() >= self._look_again_at:
            runner = _run.GLOBAL_RUN_CONTEXT.runner
            if _is_waked_from_outside():
                self._look_again_at = time.monotonic() + AGAIN_S
            else:
                self._throw(Deadlock, "deadlock: no task can run, and no deadline is due that would wake one")
                runner.entry_queue.wakeup.wakeup_thread_and_signal_safe()

    # What is found.

    @contextmanager
    def judging(self, is_judged: Callable[[trio.lowlevel.Task], bool]) -> Iterator[None]:
        """Tasks that `is_judged` is true of must not keep the loop.

        Raises `BlockingCall` at the end of the block, with who did; where the block fails by itself, a note says it.
        """
        before = len(self.blocked)
        self._judged.append(is_judged)
        try:
            yield
        except BaseException as error:
            for blocked in self.blocked[before:][:MOST_BLOCKED]:
                error.add_note(f"blocking call: {blocked}")
            raise
        finally:
            self._judged.remove(is_judged)
        if found := self.blocked[before:]:
            raise BlockingCall("\n".join(["blocking call:", *(f"  {blocked}" for blocked in found[:MOST_BLOCKED])]))

    def _is_idle(self) -> bool:
        """Whether the test has been waiting for too long for something that a server does not do."""
        now = trio.current_time()
        if now - self._asked_at < self.limits.idle_s / 24 or not self.of_servers:
            return False
        self._asked_at = now
        news = tuple(new() for new in self.news)
        own = (task for task in _tasks() if not any(task in tasks for tasks in self.of_servers))
        if news != self._news or any(task._cancel_status.effective_deadline() < inf for task in own):
            self._news, self._news_at = news, now
        if now - self._news_at < self.limits.idle_s or not isinstance(trio.lowlevel.current_clock(), MockClock):
            return False
        self._news_at = now
        return True

    def _look_for_livelock(self) -> None:
        now = trio.current_time()
        if now != self._seen_at:
            self._seen_at, self._steps, self._quiet_since = now, 0, 0
            self._thrown = self._thrown_at_others = 0
        seen = tuple(progress() for progress in self.progress)
        if seen != self._seen:
            self._seen, self._quiet_since = seen, self._steps
        patience = self.limits.steps if not self._thrown else min(self.limits.steps, STEPS_TO_END)
        if self._steps - self._quiet_since >= patience or self._steps >= self.limits.most_steps:
            busy = ", ".join(f"{name} ({count} of {LOOK_EVERY})" for name, count in self._runs.most_common(5))
            text = f"livelock: {self._steps} steps of tasks without virtual time; the latest were those of {busy}"
            self._throw(Livelock, text)
            self._steps = self._quiet_since = 0
        self._runs.clear()

    def _end_of_real_time(self, frame: FrameType | None) -> TookTooLong | None:
        """Called in the loop's thread, wherever it is."""
        task = self._times.task
        places = " < ".join(map(describe_frame, list(own_frames(frame))[:5]))
        if self._times.began and task is not None:
            text = f"the task {task.name} runs: {places}"
        else:
            text = f"no task runs, virtual time is {trio.current_time():.0f} s"
        text = f"the test took longer than {self.limits.real_s:g} s of real time; {text}"
        if ki_protection_enabled(frame):  # within trio, where nothing may be raised or changed
            self._late = text
            _run.GLOBAL_RUN_CONTEXT.runner.entry_queue.wakeup.wakeup_thread_and_signal_safe()
            return None
        return TookTooLong(f"{text}\n{describe_tasks(_tasks(), self.listener())}")

    # Who is told.

    def listener(self) -> trio.lowlevel.Task | None:
        """The task that is told."""
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        if self.told is not None and self.told in runner.tasks:
            return self.told
        tests = (task for task in runner.tasks if task.name.startswith(TEST_OF_PYTEST_TRIO))
        return next(tests, runner.main_task)

    def _throw(self, kind: type[Stuck], text: str) -> None:
        """Into the test, or where that cannot be told (again), into all that wait or run."""
        listener = self.listener()
        whole = f"{text}\n{describe_tasks(_tasks(), listener)}"
        self._thrown += 1
        if self._thrown <= MOST_ERRORS and listener is not None and self._throw_into(listener, kind(whole)):
            return
        self._thrown_at_others += 1
        others = [task for task in _tasks() if task.name not in OF_TRIO and not task.child_nurseries]
        are_told = [self._throw_into(task, kind(whole)) for task in others]
        if any(are_told) and self._thrown_at_others <= MOST_ERRORS_OF_OTHERS:
            return
        for task in others:
            _end(task, kind(whole))

    def _throw_into(self, task: trio.lowlevel.Task, error: Stuck) -> bool:
        if wake_with(task, error):
            return True
        if task._next_send_fn is None or task in self._due:
            return False
        self._due[task] = error
        return True


def wake_with(task: trio.lowlevel.Task, error: BaseException) -> bool:
    """Have a task that waits raise `error` where it waits, shielded or not; returns whether it waits."""
    if task._abort_func is None:
        return False
    task._attempt_abort(partial(_raise, error))
    return True


def _raise(error: BaseException) -> NoReturn:
    raise error


def _end(task: trio.lowlevel.Task, error: BaseException) -> None:
    """End a task from outside that swallows whatever is raised in it."""
    if task._next_send_fn is None:  # it waits
        task._runner.reschedule(task)
    task._next_send_fn, task._next_send = partial(_raise_sent, error), None


def _raise_sent(error: BaseException, _sent: object) -> NoReturn:
    raise error


def _tasks() -> list[trio.lowlevel.Task]:
    return list(_run.GLOBAL_RUN_CONTEXT.runner.tasks)


def _nothing_can_happen() -> bool:
    """Whether no task of this run will ever run again by itself."""
    runner = _run.GLOBAL_RUN_CONTEXT.runner
    if runner.runq or runner.waiting_for_idle or not isinstance(runner.clock, MockClock):
        return False
    stands_still = runner.clock.rate == 0 and runner.clock.autojump_threshold == inf
    queue = runner.entry_queue
    return (stands_still or runner.deadlines.next_deadline() == inf) and not (queue.queue or queue.idempotent_queue)


def _is_waked_from_outside() -> bool:
    """Whether something besides tasks of this run may wake one of them."""
    here = threading.current_thread()
    if any(not (thread.daemon or thread in (here, threading.main_thread())) for thread in threading.enumerate()):
        return True
    return any(map(waits_for_the_outside, _tasks()))


def is_of_a_step(task: trio.lowlevel.Task | None) -> bool:
    """Whether a step of a workflow runs in it, or in a task that has started it."""
    while task is not None:
        if getattr(task.coro, "cr_code", None) is RunningStep._run.__code__:
            return True
        task = None if task.parent_nursery is None else task.parent_nursery.parent_task
    return False


def active_watchdog() -> Watchdog | None:
    """That of the `trio.run` at work."""
    return next((i for i in _run.GLOBAL_RUN_CONTEXT.runner.instruments["_all"] if isinstance(i, Watchdog)), None)


@contextmanager
def watched(limits: Limits | None = None) -> Iterator[Watchdog]:
    """What runs inside has a watchdog, the one that is at work or a new one, which tells this task."""
    if (at_work := active_watchdog()) is not None:
        yield at_work
        return
    own = Watchdog(limits or _LIMITS.get() or Limits(), told=trio.lowlevel.current_task())
    trio.lowlevel.add_instrument(own)
    own.before_run()
    try:
        yield own
    finally:
        own.after_run()
        trio.lowlevel.remove_instrument(own)


@contextmanager
def watching(limits: Limits) -> Iterator[None]:
    """Every `trio.run` inside that is on a `MockClock` has a watchdog, which tells the test of pytest-trio."""
    set_up = _run.setup_runner

    def with_watchdog(
        clock: trio.abc.Clock | None, instruments: Sequence[trio.abc.Instrument], *rest: bool
    ) -> _run.Runner:
        if isinstance(clock, MockClock) and not any(isinstance(other, Watchdog) for other in instruments):
            instruments = [*instruments, Watchdog(limits)]
        return set_up(clock, instruments, *rest)

    _run.setup_runner = with_watchdog  # type: ignore[assignment]  # its arguments have more names
    before = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(before)
        _run.setup_runner = set_up
