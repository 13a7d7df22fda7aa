"""Faults are planted in functions that are there, and the whole command tells those that live."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.warm import plant

MODULE = """
LIMIT = 3

class Counter:
    def __init__(self, count=0):
        self.count = count

    @property
    def is_full(self):
        return any(self.count > size for size in [LIMIT])

    def add(self, by):
        self.count += by
        return self.count

double, half = lambda number: number * 2, lambda number: number // 2
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "counting.py"
    path.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("counting", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def planted(module: ModuleType, was: str, now: str) -> int:
    assert was in MODULE
    assert module.__file__ is not None
    return plant(Path(module.__file__), MODULE, MODULE.replace(was, now))


def test_a_function_that_somebody_holds_has_the_fault(module: ModuleType) -> None:
    counter, double, half = module.Counter(), module.double, module.half
    add = counter.add
    assert planted(module, "self.count += by", "pass") == 1
    assert add(2) == 0
    assert planted(module, "number * 2", "number // 2") == 1
    assert double(2) == half(2) == 1
    assert planted(module, "number // 2", "number - 2") == 1
    assert half(2) == 0


def test_a_property_has_the_fault_and_so_has_what_is_in_it(module: ModuleType) -> None:
    counter = module.Counter(3)
    assert not counter.is_full
    assert planted(module, "self.count > size", "self.count >= size") == 1
    assert counter.is_full


@pytest.mark.parametrize(("was", "now"), [("LIMIT = 3", "LIMIT = 4"), ("count=0", "count=1")])
def test_what_was_done_at_the_import_cannot_be_planted_any_more(module: ModuleType, was: str, now: str) -> None:
    assert planted(module, was, now) == 0


TESTS = """
from package.counting import Counter, double, half

def test_counter():
    counter = Counter()
    assert counter.add(3) == 3
    assert not counter.is_full

def test_double():
    assert double(2) == 4
    assert half(4) == 2
"""


@pytest.mark.thorough
def test_the_command_prints_the_faults_that_live_in_functions_and_outside_of_them(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/counting.py").write_text(MODULE)
    (tmp_path / "test_counting.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "package/counting.py", "--", "test_counting.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{pytestconfig.rootpath}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    *lived, summary = done.stdout.splitlines()
    assert lived[:-1] == [
        "package/counting.py line 2: 3  ->  4",
        "package/counting.py line 10: return any(self.count > size for size in [LIMIT])  ->  return None",
    ], done.stderr
    assert summary == "2 of 10 live"
    assert done.returncode == 1
