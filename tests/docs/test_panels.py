"""What the picture of the dashboard for Grafana shows: which panels, and which curves of Prometheus' answers."""

import json
import math
from typing import Any

import pytest

from tests.support.panels import COLUMNS, Panel, Query, Series, read_panels, read_series, say
from tests.support.prometheus import DASHBOARD

QUERY = Query("mmids_stream_bits_per_second", "{{workflow}} {{ stream }}")


def answer(*found: tuple[dict[str, str], list[list[Any]]]) -> dict[str, Any]:
    """The data of a range query, as Prometheus has it."""
    return {"resultType": "matrix", "result": [{"metric": metric, "values": values} for metric, values in found]}


@pytest.fixture(scope="module")
def panels() -> list[Panel]:
    return read_panels(json.loads(DASHBOARD.read_text()))


def test_a_panel_has_the_place_the_unit_and_the_queries_of_the_file() -> None:
    target = {"refId": "A", "expr": 'up{instance=~"$instance"}', "legendFormat": "{{job}}"}
    place = {"x": 8, "y": 16, "w": 8, "h": 4}
    file = {"title": "Up", "gridPos": place, "fieldConfig": {"defaults": {"unit": "s"}}, "targets": [target]}
    [panel] = read_panels({"panels": [file]})
    assert panel == Panel("Up", "s", 8, 16, 8, 4, (Query('up{instance=~".*"}', "{{job}}"),))


def test_each_series_has_the_name_that_the_legend_makes_of_its_labels() -> None:
    found = answer(
        ({"workflow": "show", "stream": "tonight", "id": "a1"}, [[10, "1000"], [11, "2000"]]),
        ({"workflow": "show", "id": "b2"}, [[10, "5"], [11, "6"]]),
    )
    first, second = read_series(QUERY, found, (10, 11))
    assert first == Series("show tonight", (10, 11), (1000, 2000))
    assert second == Series("show", (10, 11), (5, 6))


def test_a_series_has_a_gap_where_prometheus_has_no_value() -> None:
    found = answer(({"workflow": "show", "stream": "tonight"}, [[10, "1"], [12, "NaN"], [13, "4"]]))
    [series] = read_series(QUERY, found, (10, 11, 12, 13))
    assert [None if math.isnan(value) else value for value in series.values] == [1, None, None, 4]


def test_a_legend_without_labels_is_the_name() -> None:
    [series] = read_series(Query("sum(x)", "up"), answer(({}, [[1, "2"]])), (1,))
    assert series.name == "up"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (3, "short", "3"),
        (1500, "short", "1.5k"),
        (0, "bps", "0 b/s"),
        (400_000, "bps", "400 kb/s"),
        (1_200_000, "bps", "1.2 Mb/s"),
        (0, "s", "0 s"),
        (0.008, "s", "8 ms"),
        (12, "s", "12 s"),
        (0.12, "percentunit", "12 %"),
    ],
)
def test_values_are_said_in_the_unit_of_the_panel(value: float, unit: str, said: str) -> None:
    assert say(value, unit) == said


def test_every_unit_of_the_dashboard_is_known(panels: list[Panel]) -> None:
    assert all(say(1, panel.unit) for panel in panels)


def test_no_two_panels_of_the_dashboard_overlap(panels: list[Panel]) -> None:
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel.x, panel.x + panel.width)
        for y in range(panel.y, panel.y + panel.height)
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < COLUMNS
