"""The tables of attacks name tests and counters that exist, and every counter has its place on the page."""

import re
from pathlib import Path

from mmids_trio.metrics.catalog import METRICS
from mmids_trio.rejections import RejectCounters

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "abuse.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!attack|---)(.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_the_tables_have_rows() -> None:
    assert len(ROWS) > 20


def test_every_test_in_the_tables_exists() -> None:
    named = [name for _, _, tests, _ in ROWS for name in re.findall(r"`(.+?)`", tests)]
    for file, _, function in (name.partition("::") for name in named):
        assert f"def {function}(" in (ROOT / "tests" / file).read_text("utf-8"), function


def test_every_row_has_a_test_and_a_counter_that_exist() -> None:
    known = {*RejectCounters(), *(metric.name for metric in METRICS)}
    for attack, _, tests, counters in ROWS:
        assert "::" in tests, attack
        assert set(re.findall(r"`(.+?)`", counters)) <= known, attack
        assert "`" in counters, attack


def test_every_counter_is_on_the_page() -> None:
    assert [name for name in RejectCounters() if f"`{name}`" not in PAGE] == []
