"""The table of docs/soak.md says what the run beside it found."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "benchmarks" / "soak" / "results" / "soak.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "soak.md").read_text("utf-8")
FIGURES = ("pss_mb", "files", "tasks", "threads", "children")


def test_the_run_on_the_page_was_long_and_went_well() -> None:
    assert RESULT["minutes"] >= 30
    assert RESULT["is_fine"]
    assert f"{RESULT['minutes']:g} minutes of traffic" in PAGE
    assert RESULT["revision"] in PAGE


def test_the_table_has_the_figures_of_the_run() -> None:
    rows = re.findall(r"^\| .* \| ([+-][\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    verdicts = {verdict["what"]: verdict for verdict in RESULT["verdicts"]}
    assert [tuple(map(float, row)) for row in rows] == [
        (
            round(verdicts[f"trend of {figure}"]["found"], 2),
            round(verdicts[f"trend of {figure}"]["allowed"], 2),
            RESULT["rest_before"][figure],
            RESULT["rest_after"][figure],
        )
        for figure in FIGURES
    ]
