"""What the fast suite leaves out: whole files by their text, and all but the first parameters; it must miss no more."""

from pathlib import Path

import pytest

from tests.support.effort import first_mark


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("import pytest\n\npytestmark = pytest.mark.e2e\n", "e2e"),
        ("pytestmark = [\n    pytest.mark.thorough,\n    pytest.mark.skipif(False, reason=''),\n]\n", "thorough"),
        ('TESTS = """\n    pytestmark = pytest.mark.e2e\n"""\n', None),
        ("@pytest.mark.e2e\ndef test_one() -> None:\n    pass\n", None),
    ],
)
def test_the_marker_of_a_whole_file_is_read_from_its_text(tmp_path: Path, text: str, mark: str | None) -> None:
    path = tmp_path / "test_some.py"
    path.write_text(text)
    assert first_mark(path) == mark


@pytest.mark.thorough
def test_a_file_that_is_left_out_is_collected_where_it_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    pytester.makeconftest("from tests.conftest import pytest_addoption, pytest_ignore_collect\n")
    pytester.makepyfile(
        test_real="import pytest\npytestmark = pytest.mark.e2e\ndef test_a(): pass\n", test_unit="def test_b(): pass\n"
    )
    fast = ("--fast", "-m", "not e2e", "-p", "no:randomly", "-p", "no:cacheprovider")
    assert pytester.runpytest_inprocess(*fast).parseoutcomes() == {"passed": 1}
    assert pytester.runpytest_inprocess(*fast, "test_real.py").parseoutcomes() == {"deselected": 1}


REVERSED = """
import pytest
from tests.conftest import pytest_addoption, pytest_collection_modifyitems

class Reverse:
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        items.reverse()
        return (yield)

def pytest_configure(config):
    config.pluginmanager.register(Reverse())
"""

NINE = """
import pytest
from tests.support.effort import first_are_fast

@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.thorough), *range(1, 9)])
def test_a(number): pass

@pytest.mark.parametrize("number", first_are_fast(1, range(9)))
def test_b(number): pass
"""


@pytest.mark.thorough
def test_it_has_the_first_parameters_that_are_not_left_out_however_tests_are_shuffled(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    pytester.makeconftest(REVERSED)
    pytester.makepyfile(NINE)
    fast = ("--fast", "-m", "not thorough", "-p", "no:randomly", "-p", "no:cacheprovider")
    done = pytester.runpytest_inprocess(*fast, "-v")
    names = sorted(line.split()[0].partition("::")[2] for line in done.outlines if "PASSED" in line)
    assert names == ["test_a[1]", "test_a[2]", "test_a[3]", "test_b[0]"]
