"""A thread that looks at the loop in real time: how long a step of a task takes and what it does, how long a run takes.

The loop's own thread only notes when a step begins and ends.  A step counts as blocking by what it did with its time,
so that a busy machine does not make one: the CPU time of its thread, or, where the kernel tells how long the thread
waited for a processor (Linux), its real time without that.  Garbage collection and imports do not count.
"""

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import trio
from attrs import define, field, frozen

from mmids_trio.testing.stuck import is_machinery, short_path

POLL_S = 0.01
"""Between two looks at the loop."""

LONGEST_LOOK_S = 0.005
"""A look that took longer kept the loop waiting itself: the step's real time says nothing."""

AGAIN_AFTER_S = 10.0
"""When a test is told again that it took too long, where it went on."""

MOST_FRAMES = 4
"""Places that are named of a step that blocks, the innermost first."""

_DEBUGGERS = ("bdb.py", "pdb.py", "pydevd.py", "pydevd_frame.py")

SIGNAL = getattr(signal, "SIGVTALRM", None)
"""Interrupts the loop's thread; hardly anything else uses it."""


@frozen
class Blocked:
    """A step of a task that kept the loop for too long."""

    task: str
    seconds: float
    """As its thread used them; see the module."""
    places: tuple[str, ...]
    """File, line and function, the innermost first."""

    def __str__(self) -> str:
        return f"{self.task} kept the loop for {self.seconds * 1000:.0f} ms: {' < '.join(self.places)}"


@frozen
class _Look:
    """What the thread saw of one step."""

    began: float
    wall: float
    cpu: float
    delay: float | None
    collecting: float
    places: tuple[str, ...]
    is_excused: bool


@define(eq=False)
class LoopTimes:
    """Watches the thread that `start` is called in, until `stop`."""

    limit_s: float
    """Of the whole run; `inf` for none."""
    blocking_s: float
    on_limit: Callable[[FrameType | None], BaseException | None]
    """Called in the loop's thread; what it returns is raised there."""
    task: trio.lowlevel.Task | None = field(default=None, init=False)
    began: float = field(default=0.0, init=False)
    """When the step at work did; 0 between steps."""
    _first: _Look | None = field(default=None, init=False)
    _last: _Look | None = field(default=None, init=False)
    _longest_look: float = field(default=0.0, init=False)
    _collecting: float = field(default=0.0, init=False)
    _collecting_since: float = field(default=0.0, init=False)
    _stopped: threading.Event = field(factory=threading.Event, init=False)
    _undo: ExitStack = field(factory=ExitStack, init=False)
    _ident: int = field(factory=threading.get_ident, init=False)
    _delays: Path = field(init=False)

    def start(self) -> None:
        """Begin; the thread is a daemon, and ends soon after `stop`."""
        self._ident = threading.get_ident()
        self._delays = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        gc.callbacks.append(self._note_collection)
        self._undo.callback(gc.callbacks.remove, self._note_collection)
        if SIGNAL is not None and threading.current_thread() is threading.main_thread():
            self._undo.callback(signal.signal, SIGNAL, signal.signal(SIGNAL, self._interrupt))
        threading.Thread(target=self._look_on, name="mmids_trio's watchdog", daemon=True).start()
        self._undo.callback(self._stopped.set)

    def stop(self) -> None:
        """End."""
        self._undo.close()

    def step_ended(self) -> Blocked | None:
        """Called between steps: what the step that has just ended did wrong."""
        began, self.began = self.began, 0.0
        if time.perf_counter() - began < self.blocking_s:
            return None
        first, last = self._first, self._last
        if first is None or last is None or first.began != began or is_debugged() or last.is_excused:
            return None
        if last is first:  # seen once: nobody knows what it did
            return None
        seconds = self._used_since(first)
        name = self.task.name if self.task is not None else "?"
        return Blocked(name, seconds, last.places) if seconds >= self.blocking_s else None

    def _used_since(self, first: _Look) -> float:
        collecting = self._collecting - first.collecting
        used = time.thread_time() - first.cpu - collecting
        delay = self._delay()
        if delay is None or first.delay is None or self._longest_look > LONGEST_LOOK_S:
            return used
        wall = time.perf_counter() - first.wall - (delay - first.delay) - collecting
        return max(used, wall)

    def _delay(self) -> float | None:
        """Seconds that the loop's thread has waited for a processor."""
        try:
            return int(self._delays.read_text("ascii").split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return None

    def _note_collection(self, phase: str, _info: dict[str, int]) -> None:
        if threading.get_ident() == self._ident:
            if phase == "start":
                self._collecting_since = time.perf_counter()
            else:
                self._collecting += time.perf_counter() - self._collecting_since

    # In the thread.

    def _look_on(self) -> None:
        ends = time.monotonic() + self.limit_s
        clock = time.pthread_getcpuclockid(self._ident) if hasattr(time, "pthread_getcpuclockid") else None
        while not self._stopped.wait(POLL_S):
            began = self.began
            if began:
                self._look_at(began, clock)
            if time.monotonic() > ends and not (began and self._last is not None and self._last.is_excused):
                ends = time.monotonic() + AGAIN_AFTER_S
                self._interrupt_loop()

    def _look_at(self, began: float, clock: int | None) -> None:
        wall = time.perf_counter()
        is_new = self._first is None or self._first.began != began
        places, is_excused = ((), False) if is_new else self._read_stack()
        if clock is None or self.began != began:
            return
        cpu = time.clock_gettime(clock)
        look = _Look(began, wall, cpu, self._delay(), self._collecting, places, is_excused)
        took = time.perf_counter() - wall
        self._longest_look = took if is_new else max(took, self._longest_look)
        self._last = look
        if is_new:
            self._first = look

    def _read_stack(self) -> tuple[tuple[str, ...], bool]:
        """`_read` of a step that was there at the last look already, and so probably stands still.

        Of a thread that runs on, CPython 3.11 was seen to give for `f_back` what is no frame any more.
        """
        frame = sys._current_frames().get(self._ident)
        return ((), False) if frame is None else _read(frame)

    def _interrupt_loop(self) -> None:
        if SIGNAL is not None and signal.getsignal(SIGNAL) == self._interrupt:
            signal.pthread_kill(self._ident, SIGNAL)

    def _interrupt(self, _number: int, frame: FrameType | None) -> Any:
        if is_debugged() or self._stopped.is_set():
            return
        if (error := self.on_limit(frame)) is not None:
            raise error


def _read(frame: FrameType) -> tuple[tuple[str, ...], bool]:
    """The innermost places, and whether a debugger or an import is at work."""
    places: list[str] = []
    current: FrameType | None = frame
    while current is not None:
        path = current.f_code.co_filename
        if path.startswith("<frozen importlib") or path.endswith(_DEBUGGERS):
            return (), True
        if not is_machinery(current) and len(places) < MOST_FRAMES:
            places.append(f"{short_path(path)}:{current.f_lineno} in {current.f_code.co_qualname}")
        current = current.f_back
    return tuple(places), False


def is_debugged() -> bool:
    """Whether a debugger (or whatever else traces each line) is attached to this thread."""
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    return sys.gettrace() is not None or (
        monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None
    )
