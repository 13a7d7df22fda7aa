"""`scripts/audit` where no advisories can be reached: it says so, with a status of its own, and quickly."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
UNREACHABLE = 3


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_advisories_that_cannot_be_had_are_not_taken_for_none(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "advisories"
    if content is not None:
        file.write_text(content, "utf-8")
    environment = {**os.environ, "MMIDS_ADVISORIES": file.as_uri()}
    done = subprocess.run(
        [ROOT / "scripts" / "audit"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, "not audited" in done.stderr) == (UNREACHABLE, True), done.stderr
