"""The table of what anybody can make the server spend says what the code and the settings say."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mmids_trio.config.settings import Settings

PAGE = (Path(__file__).parents[2] / "SECURITY.md").read_text("utf-8")
[TABLE] = re.findall(r"^\| resource \|.*\n\| ---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
LINES = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines()]
ROWS = {name: cells for name, *cells in LINES}
RESOURCES = [
    *("memory", "CPU", "log", "files", "children"),
    *("descriptors", "streams", "connections", "questions", "cluster", "events"),
]
NOTHING = "—"
ENTRY = re.compile(r"(none|\d+(?:\.\d+)?)(?: ([^(`]+))? \(`([\w.]+)`\)")
UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "hours": 1, "h": 3600}
"""All others, such as `chunks`, are 1."""

BOUNDS = (
    *("max_connections", "max_connections_per_ip", "api_max_connections"),
    *("log_max_bytes", "log_repeats_per_second", "max_encode_rate", "max_children"),
    *("max_streams", "max_streams_per_connection", "max_media_bytes", "grace_after", "max_interrupted"),
    "ended_files_keep",
)
"""Settings that bound what strangers can do; those that the server has belong into the table."""


def entries(cell: str) -> list[tuple[str, str, str]]:
    """Value, unit and name of each bound in a cell."""
    if cell == NOTHING:
        return []
    found = [ENTRY.fullmatch(entry) for entry in cell.split("; ")]
    assert None not in found, cell
    return [(match[1], match[2] or "", match[3]) for match in found if match is not None]


ALL = [entry for cells in ROWS.values() for cell in cells for entry in entries(cell)]


def in_code(name: str) -> Any:
    """A constant, or the default of a setting."""
    module, _, constant = name.rpartition(".")
    return getattr(import_module(f"mmids_trio.{module}"), constant) if module else getattr(Settings(), name)


def test_every_resource_has_its_row_with_three_levels_and_a_bound() -> None:
    assert list(ROWS) == RESOURCES
    assert {len(cells) for cells in ROWS.values()} == {3}
    assert [name for name, cells in ROWS.items() if not any(map(entries, cells))] == []


@pytest.mark.parametrize(("value", "unit", "name"), ALL, ids=[name for _, _, name in ALL])
def test_every_bound_is_that_of_the_code(value: str, unit: str, name: str) -> None:
    expected = None if value == "none" else float(value) * UNITS.get(unit, 1)
    assert in_code(name) == expected


def test_every_setting_that_bounds_strangers_is_in_the_table() -> None:
    known = {setting for setting in BOUNDS if hasattr(Settings(), setting)}
    assert known - {name for _, _, name in ALL} == set()
