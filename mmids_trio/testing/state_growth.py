"""What a step remembers, measured again and again: which of its containers grow with time.

Apart from the scenarios because it knows nothing of steps: it follows references from an object and from the frames of
tasks, and notes how much each container holds.
"""

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from inspect import isclass, isfunction, ismethod, ismodule
from itertools import pairwise
from types import CoroutineType, FrameType

import trio
from attrs import define, field

MOST_OBJECTS = 50_000
"""That one look follows."""

ENOUGH = 6
"""Looks in a row at each of which a container holds more than before; some may grow until a bound is reached."""

_SIZED = (list, dict, set, deque, bytearray, bytes, str)
_OF_OTHERS = ("trio._core", "structlog", "logging", "_pytest", "pytest")
_OURS = "mmids_trio."


@define
class Growth:
    """The sizes of all containers that can be reached, at each look.

    `own`: the package whose objects count; what the server lends to a step has bounds of its own.
    """

    own: str
    _sizes: dict[str, list[int]] = field(factory=dict)
    _texts: set[str] = field(factory=set)
    """Where there are bytes and characters instead of things."""
    _looks: int = 0

    def look(self, roots: Mapping[str, object], tasks: Iterable[trio.lowlevel.Task]) -> None:
        """Measure what is reached from `roots` (by name) and from the frames of `tasks`."""
        self._looks += 1
        seen: dict[str, int] = {}
        for path, size, is_text in _reached(roots, tasks, self.own):
            seen[path] = seen.get(path, 0) + size
            if is_text:
                self._texts.add(path)
        for path, size in seen.items():
            self._sizes.setdefault(path, []).append(size)

    def largest(self) -> tuple[str, int]:
        """Which container of things holds the most, as of the last look, and how many."""
        last = {path: sizes[-1] for path, sizes in self._sizes.items() if path not in self._texts}
        return max(last.items(), key=lambda item: item[1])

    def found(self) -> str | None:
        """What grows, in words."""
        for path, sizes in sorted(self._sizes.items(), key=lambda item: -item[1][-1]):
            last = sizes[-ENOUGH - 1 :]
            if len(last) > ENOUGH and all(later > earlier for earlier, later in pairwise(last)):
                return f"{path} grows: {', '.join(map(str, last))} at the ends of equal times with equal traffic"
        return None


@contextmanager
def without_collector() -> Iterator[None]:
    """Cycles of objects stay: what waits for the collector would grow or not, as it happens to come or not."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _reached(
    roots: Mapping[str, object], tasks: Iterable[trio.lowlevel.Task], own: str
) -> Iterator[tuple[str, int, bool]]:
    """Path and size of each container, and whether its size is one of bytes or characters."""
    living = list(tasks)
    yield "the number of its tasks", len(living), False
    unvisited: deque[tuple[str, object]] = deque(roots.items())
    for task in living:
        unvisited.extend(_locals(task.coro, own))
    visited: dict[int, object] = {}
    while unvisited and len(visited) < MOST_OBJECTS:
        path, thing = unvisited.popleft()
        if id(thing) in visited or _is_none_of_its(thing, own):
            continue
        visited[id(thing)] = thing  # kept, so that no other object gets its identity
        if isinstance(thing, _SIZED) and isinstance(thing, Sized):
            yield path, len(thing), isinstance(thing, bytes | bytearray | str)
        unvisited.extend(_inside(path, thing))


def _is_none_of_its(thing: object, own: str) -> bool:
    return (
        isclass(thing) or ismodule(thing) or isinstance(thing, FrameType) or _is_of_others(type(thing).__module__, own)
    )


def _is_of_others(module: str, own: str) -> bool:
    return module.startswith(_OF_OTHERS) or (module.startswith(_OURS) and not module.startswith(own))


def _locals(coroutine: object, own: str) -> Iterator[tuple[str, object]]:
    """The local variables of a coroutine and of those that it waits for."""
    while isinstance(coroutine, CoroutineType):
        if (frame := coroutine.cr_frame) is not None and not _is_of_others(frame.f_globals["__name__"], own):
            yield from ((f"{frame.f_code.co_name}: {name}", value) for name, value in frame.f_locals.items())
        coroutine = coroutine.cr_await


def _inside(path: str, thing: object) -> Iterator[tuple[str, object]]:
    """What a thing refers to. What is inside a container is one thing, whatever its place."""
    if isinstance(thing, dict):
        yield from ((f"{path}[...]", value) for value in thing.values())
        yield from ((f"{path} (keys)", key) for key in thing)
    elif isinstance(thing, list | set | deque | tuple | frozenset):
        yield from ((f"{path}[...]", value) for value in thing)
    elif ismethod(thing):
        yield f"{path}.__self__", thing.__self__
    elif isfunction(thing):
        for cell in thing.__closure__ or ():
            yield f"{path} (closure)", _content(cell)
    else:
        yield from ((f"{path}.{name}", value) for name, value in _attributes(thing))


def _content(cell: object) -> object:
    try:
        return cell.cell_contents  # type: ignore[attr-defined]  # of a function's closure
    except ValueError:  # still empty
        return None


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    yield from list(getattr(thing, "__dict__", {}).items())
    for kind in type(thing).__mro__:
        for name in kind.__dict__.get("__slots__", ()):
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                yield name, getattr(thing, name)
