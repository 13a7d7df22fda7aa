"""Kinds of steps and executors of others: those of installed packages, and those of modules that somebody names.

Code comes in here alone, and before a server is built: packages by their entry points, modules because whoever starts
the program names them (`--load`, the setting `load` of the configuration file).  What a running server is sent, over
the API or by a reactor's service, has no settings and names none.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

from attrs import frozen

from mmids_trio.errors import MmidsError, printable
from mmids_trio.reactors.executor import ExecutorKind
from mmids_trio.steps.registry import StepType

STEPS_GROUP, EXECUTORS_GROUP = "mmids_trio.steps", "mmids_trio.executors"
"""Groups of entry points. Each names a kind, or a function that takes nothing and returns one."""

STEPS, EXECUTORS = "STEPS", "EXECUTORS"
"""What a module has that is named to be loaded: sequences of kinds."""

Kind = TypeVar("Kind", StepType, ExecutorKind)
Result = TypeVar("Result")


class CannotLoad(MmidsError):
    """A package or module does not give the kinds that it should; the message says whose fault, where and why."""


@frozen
class Plugins:
    """What was loaded; each kind knows whose it is. `modules`: those that were named."""

    steps: tuple[StepType, ...] = ()
    executors: tuple[ExecutorKind, ...] = ()
    modules: tuple[str, ...] = ()

    def with_modules(self, names: Iterable[str], where: Path) -> "Plugins":
        """What these modules have besides; each is loaded once. `where`: the directory that Python looks in last.

        Raises `CannotLoad`.
        """
        steps, executors, modules = [*self.steps], [*self.executors], [*self.modules]
        for name in names:
            if name not in modules:
                module = _imported(name, where)
                found = [getattr(module, attribute, None) for attribute in (STEPS, EXECUTORS)]
                if found == [None, None]:
                    raise CannotLoad(
                        f"the module '{name}' has neither {STEPS} nor {EXECUTORS}; a line such as"
                        f" `{STEPS} = [my_step()]` says which kinds it brings"
                    )
                steps += _listed(name, STEPS, found[0], StepType)
                executors += _listed(name, EXECUTORS, found[1], ExecutorKind)
                modules.append(name)
        return Plugins(tuple(steps), tuple(executors), tuple(modules))


def installed() -> Plugins:
    """The kinds of all packages that are installed. Raises `CannotLoad`."""
    return Plugins(
        tuple(_of_package(entry, StepType) for entry in _entries(STEPS_GROUP)),
        tuple(_of_package(entry, ExecutorKind) for entry in _entries(EXECUTORS_GROUP)),
    )


def _entries(group: str) -> Sequence[EntryPoint]:
    """In an order that does not depend on where packages are installed."""
    return sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value))


def _of_package(entry: EntryPoint, wanted: type[Kind]) -> Kind:
    package = "a package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    what = f"the entry point '{entry.name} = {entry.value}' of {package}"

    def load() -> object:
        named = entry.load()
        return named if isinstance(named, wanted) or not callable(named) else named()

    kind = _called(what, load)
    if not isinstance(kind, wanted):
        raise CannotLoad(
            f"cannot load {what}: expected {_name(wanted)}, or a function without parameters that returns one; found"
            f" the type '{type(kind).__name__}'"
        )
    return kind.of(package)


def _listed(module: str, attribute: str, kinds: object, wanted: type[Kind]) -> list[Kind]:
    if kinds is None:
        return []
    where = f"{attribute} of the module '{module}'"
    if not isinstance(kinds, list | tuple):
        raise CannotLoad(f"expected {where} to be a list; found the type '{type(kinds).__name__}'")
    for kind in kinds:
        if not isinstance(kind, wanted):
            found = "a function: call it" if callable(kind) else f"the type '{type(kind).__name__}'"
            raise CannotLoad(f"expected {_name(wanted)} at every place of {where}; found {found}")
    return [kind.of(f"module {module}") for kind in kinds]


def _name(wanted: type[Kind]) -> str:
    return "a StepType" if wanted is StepType else "an ExecutorKind"


def _imported(name: str, where: Path) -> object:
    """A module by its full name. `where` stays on Python's path: a module may import others later."""
    directory = str(where.resolve())
    if directory not in sys.path:
        sys.path.append(directory)
    try:
        return _called(f"the module '{name}'", lambda: import_module(name))
    except CannotLoad as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise
        raise CannotLoad(
            f"there is no module '{name}' where Python looks (installed packages, PYTHONPATH), nor in {directory}"
        ) from error


def _called(what: str, load: Callable[[], Result]) -> Result:
    """What code of others gives. Whatever it raises is one message, which says where."""
    try:
        return load()
    except (Exception, SystemExit) as error:
        reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
        raise CannotLoad(f"cannot load {what}: {reason}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Where in the code of others it happened, if it did there."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames and frames[-1].lineno else ""


def _is_ours(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen importlib") or "/importlib/" in file
