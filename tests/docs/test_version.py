"""One version stands everywhere: in the package, at the top of the changelog, on the pages that speak of it."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def test_the_changelog_begins_with_the_version() -> None:
    versions = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == VERSION
    assert (ROOT / "docs" / "upgrading.md").read_text("utf-8").startswith(f"# Upgrading from {versions[1]}\n")


@pytest.mark.parametrize("page", ["limitations.md", "architecture.md"])
def test_pages_that_say_how_the_server_is_say_of_which_version(page: str) -> None:
    assert re.search(rf"^(What|As built in) {re.escape(VERSION)}\b", (ROOT / "docs" / page).read_text(), re.MULTILINE)
