"""What tests of kinds of one's own share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.plugins import imports_undone


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; what a test imports is forgotten after it."""
    monkeypatch.chdir(tmp_path)
    with imports_undone():
        yield tmp_path
