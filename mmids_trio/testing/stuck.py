"""What a test that does not go on is told: for each task what it waits for, and where.

Apart from the watchdog, which decides when: this only reads the frames of tasks that are suspended.
"""

import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

import trio

OF_TRIO = frozenset({"<init>", "<TrioToken.run_sync_soon task>"})
"""Tasks of trio's own, which wait for ever."""

MOST_TASKS = 60
"""Tasks that a text describes; the others are counted."""

_TRIO = f"{Path(trio.__file__).parent}{os.sep}"
_LIBRARIES = tuple(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib"))
_INSTALLED = f"{os.sep}site-packages{os.sep}"
_RUNS_TESTS = f"{os.sep}pytest_trio{os.sep}"

_FROM_OUTSIDE = frozenset({"_threads.py", "_io_epoll.py", "_io_kqueue.py", "_io_windows.py", "_signals.py"})
"""Of trio: whoever waits in these is woken by a thread, a socket, a process or a signal."""


class Stuck(AssertionError):
    """A test that does not go on. The text says for each task what it waits for, and where."""


class Deadlock(Stuck):
    """No task can run, and there is no deadline that would wake one."""


class Livelock(Stuck):
    """Tasks run on and on, while no virtual time goes by and nothing arrives."""


class TookTooLong(Stuck):
    """The last resort: a test took longer than its limit of real time."""


class BlockingCall(AssertionError):
    """Tasks kept the loop for too long, which everything else had to wait for. The text says which, and where."""


def describe_tasks(tasks: Iterable[trio.lowlevel.Task], first: trio.lowlevel.Task | None = None) -> str:
    """A line for each of them but trio's and pytest's own: what it waits for, and where. `first` comes first."""
    shown = [task for task in tasks if any(not is_machinery(frame) for frame, _ in task.iter_await_frames())]
    shown.sort(key=lambda task: (task is not first, task._counter))
    lines = [f"  {describe_wait(task)}" for task in shown[:MOST_TASKS]]
    if (more := len(shown) - len(lines)) > 0:
        lines.append(f"  and {more} more tasks")
    return "\n".join(lines)


def describe_wait(task: trio.lowlevel.Task) -> str:
    """For example `step.run waits in Event.wait: studio.py:31 in FewStreams.run`."""
    frames = [frame for frame, _ in task.iter_await_frames()]
    own = [frame for frame in frames if not is_machinery(frame)]
    if not own:
        return f"{task.name} is not ours"
    below = frames[frames.index(own[-1]) + 1 :]
    waits = f"{task.name} waits {_what(task, [frame for frame in below if _is_of_trio(frame)])}"
    return f"{waits}: {' > '.join(map(describe_frame, own))}"


def _what(task: trio.lowlevel.Task, of_trio: list[FrameType]) -> str:
    """What the functions of trio that are at work are for, the outermost first."""
    if not of_trio:
        return "to begin"
    name = of_trio[0].f_code.co_qualname
    children = ", ".join(child.name for nursery in task.child_nurseries[-1:] for child in nursery.child_tasks)
    if name == "Nursery.start":
        return f"in {name} for task_status.started() of {children}"
    if name == "NurseryManager.__aexit__":
        return f"for the tasks of its nursery ({children})"
    return f"in {name}"


def describe_frame(frame: FrameType) -> str:
    """File, line and function; the file from the directory that the test was started in."""
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def short_path(path: str) -> str:
    """The path from here, or from the directory of packages."""
    here = f"{Path.cwd()}{os.sep}"
    return path.removeprefix(here).rpartition(_INSTALLED)[2]


def own_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Frames of a running stack that are not machinery, the innermost first."""
    while frame is not None:
        if not is_machinery(frame):
            yield frame
        frame = frame.f_back


def is_machinery(frame: FrameType) -> bool:
    """Whether it is of trio, of the standard library or of what runs the tests."""
    path = frame.f_code.co_filename
    return (
        path.startswith(("<frozen", _TRIO))
        or _RUNS_TESTS in path
        or (path.startswith(_LIBRARIES) and _INSTALLED not in path)
    )


def _is_of_trio(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_TRIO)


def waits_for_the_outside(task: trio.lowlevel.Task) -> bool:
    """Whether a thread, a socket, a process or a signal may wake it."""
    if task.name in OF_TRIO:
        return False
    files = (frame.f_code.co_filename for frame, _ in task.iter_await_frames())
    return any(path.startswith(_TRIO) and os.path.basename(path) in _FROM_OUTSIDE for path in files)
