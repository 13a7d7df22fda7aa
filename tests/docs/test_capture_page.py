"""The page on capture: its example runs, and its tables have what there is."""

import re
from pathlib import Path

import pytest
from attrs import fields

from mmids_trio.capture.records import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "capture.md").read_text("utf-8")


def test_the_example_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests" / "testing" / "tapes")
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(block, "capture.md", "exec"), names)
    test = names["test_the_publisher_comes_in_once"]
    assert callable(test)
    test()


@pytest.mark.parametrize("kind", KINDS)
def test_the_fields_of_every_kind_of_record_are_there(kind: str) -> None:
    row = re.search(rf"^\| `{kind}` \| (.*?) \|(.*)\|$", PAGE, re.MULTILINE)
    assert row is not None
    for attribute in fields(KINDS[kind]):
        if attribute.type is bytes:
            assert row[2].strip()
        elif attribute.name != "time":
            assert f"`{attribute.name}`" in row[1]
