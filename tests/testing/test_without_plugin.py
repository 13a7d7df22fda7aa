"""The first tests of `docs/test-your-workflow.md`: in ten lines with the plugin's fixture, and with none of ours."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "testing" / "tests"

PUBLISHES = '        await h.publish("live/show", film)\n'


def run(pytester: pytest.Pytester, text: str, *plugin: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    pytester._monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return pytester.runpytest_subprocess(
        "-q", "-o", "trio_mode=true", "-W", "error", "-p", "no:randomly", "-p", "no:schemathesis", *plugin
    )


WITH = ("-p", "mmids_trio.testing.plugin")
WITHOUT = ("-p", "no:mmids_trio.testing.plugin")


def test_the_first_test_has_ten_lines_at_most() -> None:
    lines = (EXAMPLES / "test_first.py").read_text("utf-8").splitlines()
    assert len([line for line in lines if line]) <= 10


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "plugin"), [("test_first.py", WITH), ("test_plain_trio.py", WITHOUT)])
def test_it_passes(pytester: pytest.Pytester, name: str, plugin: tuple[str, ...]) -> None:
    run(pytester, (EXAMPLES / name).read_text("utf-8"), *plugin).assert_outcomes(passed=1)


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "plugin"), [("test_first.py", WITH), ("test_plain_trio.py", WITHOUT)])
def test_without_a_publisher_it_says_who_waits(pytester: pytest.Pytester, name: str, plugin: tuple[str, ...]) -> None:
    text = (EXAMPLES / name).read_text("utf-8")
    assert PUBLISHES in text
    result = run(pytester, text.replace(PUBLISHES, ""), *plugin)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*deadlock: *", "*test_a_watcher_sees_all_that_is_published* waits in *"])
