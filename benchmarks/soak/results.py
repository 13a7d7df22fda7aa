"""A soak on paper: samples.csv with every sample, soak.json with what became of them, and a plot."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from benchmarks.machine import Machine
from benchmarks.soak.samples import Sample
from benchmarks.soak.trend import Verdict

SIZE_INCHES, DPI = (8.0, 9.0), 100
PANELS = (
    ("pss_mb", "memory (PSS), MB"),
    ("files", "file descriptors"),
    ("tasks", "tasks"),
    ("threads", "threads"),
    ("children", "children"),
    ("workflows", "workflows"),
)


@frozen
class Result:
    """All that a soak found."""

    machine: Machine
    revision: str
    minutes: float
    """Of traffic, the warm-up included."""
    seed: int
    counts: Mapping[str, int]
    rest_before: Sample
    """After the warm-up, without traffic; samples count from here to `rest_after`."""
    rest_after: Sample
    verdicts: Sequence[Verdict]
    faults: Sequence[str]

    @property
    def is_fine(self) -> bool:
        """Whether nothing grew, and nothing happened that may not."""
        return not self.faults and all(verdict.is_fine for verdict in self.verdicts)


def write(result: Result, samples: Sequence[Sample], directory: Path) -> None:
    """Write the three files. Raises `ImportError` at the plot, the last of them, without matplotlib."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "samples.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(samples[0].row()))
        table.writeheader()
        table.writerows(sample.row() for sample in samples)
    shown = asdict(result) | {"is_fine": result.is_fine}
    (directory / "soak.json").write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    _draw(result, samples, directory / "soak.png")


def _draw(result: Result, samples: Sequence[Sample], file: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (the rest works without matplotlib)
    from matplotlib.figure import Figure  # noqa: PLC0415 (as above)

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(len(PANELS), 1, sharex=True)
    minutes = [sample.seconds / 60 for sample in samples]
    for axes, (name, label) in zip(panels, PANELS, strict=True):
        axes.plot(minutes, [getattr(sample, name) for sample in samples], linewidth=0.9)
        for rest in (result.rest_before, result.rest_after):
            axes.plot([rest.seconds / 60], [getattr(rest, name)], marker="o", color="tab:red", markersize=4)
        axes.axvspan(0, result.rest_before.seconds / 60, color="black", alpha=0.06)
        axes.set_ylim(0, 1.1 * max(getattr(sample, name) for sample in samples) or 1)
        axes.set_title(label, loc="left", fontsize=9)
        axes.grid(visible=True, alpha=0.3)
    panels[-1].set_xlabel("minutes (grey: warm-up; red: at rest)")
    figure.suptitle(f"{result.machine.processor}, {result.machine.date}, {result.revision}", fontsize=8)
    figure.savefig(file)
