"""`python -m tests.mutation MODULE-OR-FOLDER... -- PYTEST-ARGUMENT...`: which faults in modules their tests let live.

Each mutant is run in a process that is forked from one that has collected the tests: see `warm`. What lives there is
run once more in a process that is forked from this one, which has imported pytest and its like already, and never the
package: the fault is put into the module when that is imported. A run that takes too long counts as one that failed.
By hand: see docs/testing.md.
"""

import argparse
import importlib.abc
import importlib.machinery
import os
import random
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import spec_from_loader
from pathlib import Path
from time import monotonic
from types import CodeType, ModuleType
from typing import Any

import pytest
import trio.testing

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.warm import Planting

CPU_SECONDS = 60
"""Of one mutant; tests that take longer hang."""

WAITING_SECONDS = 180
"""Of one test, which may wait for what never comes, and needs no processor for that."""

# Assertions are not rewritten: the rewriter would load the package's modules itself, in front of what loads the faults.
QUIET = [
    "-x",
    "-q",
    "--assert=plain",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
    "-m",
    "not e2e",
    "--schedules=20",
    "-o",
    f"faulthandler_timeout={WAITING_SECONDS}",
]


class _Mutated(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self._text, self.path, "exec", dont_inherit=True)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, path: Path, text: str) -> None:
        self._name, self._loader = name, _Mutated(name, str(path), text)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return spec_from_loader(fullname, self._loader) if fullname == self._name else None


def is_noticed(path: Path, text: str, arguments: Sequence[str]) -> bool:
    """Whether the tests fail with this text in place of the module's."""
    child = os.fork()
    if child == 0:
        status: Any = 1
        with suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
            _be_silent()
            name = ".".join(path.with_suffix("").parts)
            sys.meta_path.insert(0, _Finder(name, path.absolute(), text))
            status = pytest.main([*QUIET, *arguments])
        os._exit(int(status))
    _, ended = os.waitpid(child, 0)
    return ended != 0


def are_noticed(path: Path, text: str, faults: Sequence[Mutant], arguments: Sequence[str]) -> Iterator[bool]:
    """Whether the tests fail without a fault, and then with each, where it can be planted once all is imported."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(reading)
            _be_silent()
            planting = Planting(path.absolute(), text, faults, writing, CPU_SECONDS)
            pytest.main([*QUIET, "-s", *arguments], plugins=[planting])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb", buffering=0) as results:
        for _ in [None, *faults]:
            yield results.read(1) == b"F"
    os.waitpid(child, 0)


def _be_silent() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def chosen(found: Sequence[Mutant], most: int | None, seed: int) -> Sequence[Mutant]:
    """At most so many, in their order, and the same each time with the same seed."""
    if most is None or len(found) <= most:
        return found
    return [found[place] for place in sorted(random.Random(seed).sample(range(len(found)), most))]


def modules(path: Path) -> Iterator[Path]:
    """The modules of a folder, or this one."""
    yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def tests_of(path: Path) -> list[str]:
    """The tests of a module's folder, those that have its name first: they find most faults."""
    folder = Path("tests") / path.parts[1]
    return [str(found) for found in [*sorted(folder.glob(f"test_{path.stem}*.py")), folder]]


def main(words: Sequence[str]) -> int:
    """Print the mutants that live; the exit status tells whether there are some."""
    split = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser("scripts/mutate", description="which small faults the tests of modules let live")
    parser.add_argument("paths", nargs="+", type=Path, metavar="MODULE-OR-FOLDER")
    parser.add_argument("--sample", type=int, metavar="N", help="try N faults of each module, chosen at random")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="choose others (default 0)")
    options = parser.parse_args(words[:split])
    lived = tried = 0
    for path in [module for named in options.paths for module in modules(named)]:
        tests = list(words[split + 1 :]) or tests_of(path)
        began, text = monotonic(), path.read_text("utf-8")
        if not (found := list(mutants(text))):
            continue
        here, living = chosen(found, options.sample, options.seed), 0
        noticed = are_noticed(path, text, here, tests)
        if next(noticed):
            sys.exit(f"{path}: {' '.join(tests)} fail without a fault, too")
        if not is_noticed(path, "raise Exception", tests):
            sys.exit(f"{path}: {' '.join(tests)} pass without the module, too")
        for mutant, is_found in zip(here, noticed, strict=True):
            if not is_found and not is_noticed(path, mutant.text, tests):
                living += 1
                print(f"{path} {mutant}", flush=True)
        lived, tried = lived + living, tried + len(here)
        seconds = monotonic() - began
        print(f"{path}: {living} of {len(here)} live ({len(found)} there are), {seconds:.0f} s", flush=True)
    print(f"{lived} of {tried} live")
    return int(lived > 0)


if __name__ == "__main__":
    assert trio.testing  # imported once, for all
    sys.exit(main(sys.argv[1:]))
