"""The page on the architecture knows every package that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_package_is_listed_once() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    [table] = re.findall(r"^\| package \|.*?\n\n", page, re.MULTILINE | re.DOTALL)
    listed = re.findall(r"`(\w+)/`", "\n".join(row.split("|")[1] for row in table.strip().split("\n")))
    packages = [path.parent.name for path in (ROOT / "mmids_trio").glob("*/__init__.py")]
    assert sorted(listed) == sorted(packages)
