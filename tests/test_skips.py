"""In CI a test that is skipped for something missing fails, unless it is known why that is no loss."""

from pathlib import Path

import pytest

from tests.support.skips import MAY_BE_MISSING, unexpected

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="not installed: haproxy")
def test_a(): pass

def test_b(): pytest.skip("no IPv6 here")

@pytest.mark.xfail(strict=True)
def test_c(): assert False
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("ci", "outcomes"), [("true", (1, 1)), ("", (0, 2))])
def test_a_skip_is_a_failure_in_ci_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: tuple[int, int]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    pytester.makeconftest("from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport\n")
    pytester.makepyfile(TESTS)
    done = pytester.runpytest_inprocess("-p", "no:randomly")
    failed, skipped = outcomes
    done.assert_outcomes(errors=failed, skipped=skipped, xfailed=1)
    assert ("skipped in CI, and not in the list" in done.stdout.str()) == bool(failed)


@pytest.mark.thorough
def test_a_whole_file_that_is_skipped_is_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    pytester.makeconftest("from tests.conftest import pytest_make_collect_report, pytest_runtest_makereport\n")
    pytester.makepyfile("import pytest\npytest.importorskip('nowhere_to_be_found')\n")
    pytester.runpytest_inprocess().assert_outcomes(errors=1)


@pytest.mark.parametrize(
    "reason",
    [
        "Skipped: not installed: vlc-plugin-base",
        "Skipped: not installed: node, and node-media-server in NODE_PATH (npm install node-media-server@4)",
        "Skipped: could not import 'matplotlib': No module named 'matplotlib'",
    ],
)
def test_what_is_known_to_be_missing_is_no_failure(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    monkeypatch.setenv("CI", "true")
    assert not unexpected(reason)
    assert unexpected("Skipped: not installed: curl")
    assert all(MAY_BE_MISSING.values())
