"""The panels of a dashboard for Grafana, and what of Prometheus' answers each of them shows; and a picture of them.

What is drawn comes from pure functions; matplotlib is imported where it is drawn, since only this needs it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

COLUMNS = 24
"""Of Grafana's grid."""

CELL_INCHES = (0.6, 0.31)
CARD_GAP, LEFT, RIGHT, TOP, BOTTOM = 0.06, 0.85, 0.2, 0.4, 0.6
"""Inches: between panels, and from a panel's edge to its axes."""

DPI = 100
PAGE, CARD, INK, FAINT = "#f4f5f5", "#ffffff", "#24292e", "#dfe2e5"
COLOURS = ("#3f8f3a", "#d9a400", "#3274d9", "#e0752d", "#c4162a", "#8f3bb8", "#1f9c9c", "#7a7a7a")

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
UNITS = {"short": "{:.3g}{}", "bps": "{:.3g} {}b/s"}
"""Of the units of panels, those that count in thousands: number and prefix."""


@frozen
class Query:
    """What a panel asks, and the pattern of its legend."""

    expression: str
    legend: str


@frozen
class Panel:
    """One panel; its place is in cells of the grid."""

    title: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    queries: tuple[Query, ...]


@frozen
class Series:
    """One curve: times in seconds since 1970, and values (NaN where there is none)."""

    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]


def read_panels(board: Mapping[str, Any]) -> list[Panel]:
    """The panels of a dashboard file, asking about all servers."""
    return [
        Panel(
            title=panel["title"],
            unit=panel["fieldConfig"]["defaults"]["unit"],
            x=panel["gridPos"]["x"],
            y=panel["gridPos"]["y"],
            width=panel["gridPos"]["w"],
            height=panel["gridPos"]["h"],
            queries=tuple(
                Query(target["expr"].replace("$instance", ".*"), target["legendFormat"]) for target in panel["targets"]
            ),
        )
        for panel in board["panels"]
    ]


def read_series(query: Query, answer: Mapping[str, Any], times: Sequence[float]) -> list[Series]:
    """The curves in an answer to a range query at these times; a curve has a gap where there is no value."""
    curves = []
    for found in answer["result"]:
        values = {float(time): float(value) for time, value in found["values"]}
        name = _name(query.legend, found["metric"])
        curves.append(Series(name, tuple(times), tuple(values.get(time, math.nan) for time in times)))
    return curves


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda label: labels.get(label[1], ""), legend).strip()


def say(value: float, unit: str) -> str:
    """A value in a panel's unit; raises `KeyError` for units that no panel has."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 1 else f"{value:.3g} s"
    factor, prefix = next(((factor, prefix) for factor, prefix in PREFIXES if abs(value) >= factor), (1.0, ""))
    return UNITS[unit].format(value / factor, prefix)


def draw(panels: Sequence[tuple[Panel, Sequence[Series]]], title: str, file: Path) -> None:
    """Write a picture of the panels, laid out as the dashboard says. Raises `ImportError` without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (the rest works without matplotlib)
    from matplotlib.figure import Figure  # noqa: PLC0415 (as above)
    from matplotlib.patches import Rectangle  # noqa: PLC0415 (as above)

    across, down = CELL_INCHES
    head = 0.5
    width, height = COLUMNS * across, head + down * max(panel.y + panel.height for panel, _ in panels)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAGE)
    FigureCanvasAgg(figure)
    figure.text(0.15 / width, 1 - 0.3 / height, title, fontsize=12, color=INK, va="center")
    for panel, series in panels:
        left, card_width = panel.x * across + CARD_GAP, panel.width * across - 2 * CARD_GAP
        card_height = panel.height * down - 2 * CARD_GAP
        bottom = height - head - (panel.y + panel.height) * down + CARD_GAP
        card = (left / width, bottom / height), card_width / width, card_height / height
        figure.add_artist(Rectangle(*card, facecolor=CARD, edgecolor=FAINT, zorder=-1, transform=figure.transFigure))
        top = (bottom + card_height - 0.2) / height
        figure.text((left + 0.12) / width, top, panel.title, fontsize=10, weight="bold", color=INK, va="center")
        inner = (left + LEFT, bottom + BOTTOM, card_width - LEFT - RIGHT, card_height - TOP - BOTTOM)
        axes = figure.add_axes((inner[0] / width, inner[1] / height, inner[2] / width, inner[3] / height))
        _fill(axes, panel, series, ((left + 0.05) / width, (bottom + 0.04) / height))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _fill(axes: Any, panel: Panel, series: Sequence[Series], corner: tuple[float, float]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415 (as above)

    for number, each in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(each.times, each.values, color=colour, linewidth=1.4, label=each.name)
        axes.fill_between(each.times, each.values, color=colour, alpha=0.08, linewidth=0)
    known = [value for each in series for value in each.values if not math.isnan(value)]
    axes.set_ylim(0, max(known, default=0) * 1.12 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=panel.unit == "short"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: say(value, panel.unit)))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _place: f"{datetime.fromtimestamp(time, UTC):%H:%M:%S}"))
    if series:
        axes.set_xlim(series[0].times[0], series[0].times[-1])
    axes.grid(visible=True, color=FAINT, linewidth=0.7)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=corner,
        bbox_transform=axes.figure.transFigure,
        borderaxespad=0,
        ncols=6,
        fontsize=8,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
        labelcolor=INK,
    )
