"""Two minutes of every attack at random: who is honest loses nothing, and every bound that there is holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile.attacks import ATTACKS

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
MINUTES = "2"
HANG_SECONDS = 420
"""The attacks, two minutes for what waits for a grace or a timeout afterwards, and room."""


def test_under_every_attack_the_honest_lose_nothing_and_the_bounds_hold(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.hostile", MINUTES, "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    print(done.stderr)  # the seed, and the figures for the pages
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "hostile.json").read_text("utf-8"))
    assert {name for name, attack in ATTACKS.items() if attack.can_run} <= result["attacks"].keys()
    assert result["honest"]["frames sent"] > 0
    assert result["honest"]["plans applied"] > 0
    assert result["honest"]["guests let in"] > 0
    assert result["turned_away"]
