"""Faults in functions, each in a process that is forked from a run of pytest which has collected its tests.

So neither imports nor collection are paid for with each fault, and the tests that have found most come first. What
stands outside of functions has done its work by then: such a fault is not planted here, and one in a function that is
called as the module is imported comes too late.
"""

import gc
import inspect
import os
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutation.mutants import Mutant


def plant(path: Path, sound: str, faulty: str) -> int:
    """Give the functions of an imported module the code of the faulty text. How many there are with another code."""
    others = dict(_functions(path, faulty))
    changed = {
        code: others[place]
        for place, code in _functions(path, sound)
        if place in others and _work(code) != _work(others[place])
    }
    gc.unfreeze()  # what is frozen is not among the collector's objects
    functions = [found for found in gc.get_objects() if isinstance(found, FunctionType)]
    there = [function for function in functions if function.__code__.co_filename == str(path)]
    faulted = [function for function in there if function.__code__ in changed]
    for function in faulted:
        function.__code__ = changed[function.__code__]
    return len(faulted)


def _functions(path: Path, text: str) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """Those of a module, each after its name and how many of the same name come before."""
    seen = Counter[str]()
    left = [compile(text, str(path), "exec", dont_inherit=True)]
    while left:
        code = left.pop()
        left += [constant for constant in reversed(code.co_consts) if isinstance(constant, CodeType)]
        if code.co_flags & inspect.CO_OPTIMIZED:  # else a module or the body of a class
            yield (code.co_qualname, seen[code.co_qualname]), code
            seen[code.co_qualname] += 1


def _work(code: CodeType) -> tuple[object, ...]:
    """What a function does; not in which lines it stands."""
    constants = [_work(part) if isinstance(part, CodeType) else (type(part), part) for part in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants


UNPLANTED = 77
"""How a process ends that could not plant its fault."""


class Planting:
    """A plugin of pytest: in place of the tests it runs them once without a fault, and then once for each.

    Of each run one byte goes to `results`, a pipe: `F` for found, `L` for it lives, `?` where it could not be planted.
    """

    def __init__(self, path: Path, text: str, faults: Sequence[Mutant], results: int, cpu_seconds: int) -> None:
        self._path, self._text, self._faults, self._results = path, text, faults, results
        self._cpu_seconds = cpu_seconds
        self._finders = Counter[str]()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try all faults."""
        for text in [self._text, *(fault.text for fault in self._faults)]:
            session.items.sort(key=lambda item: -self._finders[_line(item)])
            os.write(self._results, self._tried(session, text))
        return True

    def _tried(self, session: pytest.Session, text: str) -> bytes:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_seconds, self._cpu_seconds + 1))
                status = self._run(session, text, writing)
            os._exit(status)
        os.close(writing)
        with open(reading, encoding="utf-8") as pipe:
            lines = pipe.readlines()
        _, ended = os.waitpid(child, 0)
        if ended == 0:
            return b"L"
        if os.waitstatus_to_exitcode(ended) == UNPLANTED:
            return b"?"
        self._finders[lines[-1] if lines else ""] += 1
        return b"F"

    def _run(self, session: pytest.Session, text: str, begun: int) -> int:
        """The status of the process; to the pipe goes the name of each test that begins."""
        if text != self._text and not plant(self._path, self._text, text):
            return UNPLANTED
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            os.write(begun, _line(item).encode())
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
        return 0


def _line(item: pytest.Item) -> str:
    return ascii(item.nodeid) + "\n"
