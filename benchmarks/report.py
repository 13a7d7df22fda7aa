"""A whole measurement as one value, and as JSON that keeps every single run."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.figures import Check, Result, Run, Target
from benchmarks.machine import Machine

_PAIR = re.compile(r"\[\s+([\d.e+-]+),\s+(\d+)\s+\]")
"""An interval of a histogram, which takes four lines otherwise."""


@frozen
class Report:
    """What was measured, where, when, and of which versions."""

    machine: Machine
    versions: Mapping[str, str]
    """Of each subject; of one that cannot run, why."""
    revision: str
    """Of the checkout, as git names it."""
    repeat: int
    window_seconds: float
    scale: float
    """Below 1: numbers of watchers and the like were smaller than the rows say."""
    results: Sequence[Result]

    @property
    def is_serious(self) -> bool:
        """Whether its figures may be compared with the targets."""
        return self.scale == 1 and self.repeat >= 3  # noqa: PLR2004  # "median of at least three"


def to_json(report: Report) -> str:
    """The report as text."""
    text = json.dumps(_rounded(asdict(report)), indent=1)
    return _PAIR.sub(r"[\1, \2]", text) + "\n"


def _rounded(value: Any) -> Any:
    """Six digits are more than any figure is worth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def from_json(text: str) -> Report:
    """The report in a text made by `to_json`."""
    values = json.loads(text)
    return Report(
        **{
            **values,
            "machine": Machine(**values["machine"]),
            "results": tuple(_result(result) for result in values["results"]),
        }
    )


def _result(values: dict[str, Any]) -> Result:
    checks = [Check(Target(**check["target"]), check["measured"]) for check in values["checks"]]
    runs = [Run(**{**run, "histogram": tuple(map(tuple, run["histogram"]))}) for run in values["runs"]]
    return Result(**{**values, "checks": tuple(checks), "runs": tuple(runs), "notes": tuple(values["notes"])})


def read(file: Path) -> Report:
    """The report in a file."""
    return from_json(file.read_text("utf-8"))
