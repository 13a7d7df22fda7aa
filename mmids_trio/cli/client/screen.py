"""The screen and the keys of the command top: what a board looks like on a terminal, and one key at a time."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from mmids_trio.cli.client.board import HISTORY, ORDERS, Board

STYLES = {"live": "green", "backup": "yellow", "slate": "yellow", "interrupted": "red", "stalled": "red"}

KEYS = {"\x1b[A": "up", "\x1b[B": "down", "k": "up", "j": "down"}

ESCAPE = b"\x1b"

MOST_WARNINGS = 3
"""Of a cluster; `mmids_trio cluster` has all."""

WIDE = 100
"""Columns from which workflows are shown too."""


def picture(board: Board, console: Console) -> Group:
    """All of a screen: as many streams as there is room for, the chosen one among them."""
    table = Table(box=None, pad_edge=False, expand=True)
    is_wide, cluster = console.width >= WIDE, board.cluster
    if cluster is not None:
        table.add_column("NODE", no_wrap=True, ratio=2, min_width=8)
    table.add_column("STREAM", no_wrap=True, ratio=3, min_width=12)
    if is_wide:
        table.add_column("WORKFLOW", no_wrap=True, ratio=2)
    table.add_column("STATE", no_wrap=True, width=11)
    table.add_column("KBIT/S", justify="right", no_wrap=True, width=7)
    table.add_column("", no_wrap=True, width=HISTORY)
    table.add_column("WATCH", justify="right", no_wrap=True, width=6)
    if cluster is None:
        table.add_column("LAG MS", justify="right", no_wrap=True, width=6)
        table.add_column("WARNINGS", no_wrap=True, ratio=4, min_width=10)
    warnings = [] if cluster is None else cluster.warnings[:MOST_WARNINGS]
    room = max(console.height - 5 - len(warnings), 1)
    ids = [row.id for row in board.rows]
    place = ids.index(board.selected) if board.selected in ids else 0
    first = max(min(place - room // 2, len(ids) - room), 0)
    for row in board.rows[first : first + room]:
        cells = [
            *([] if cluster is None else [Text(row.node)]),
            Text(row.name),
            *([Text(row.workflow)] if is_wide else []),
            Text(row.state, STYLES.get(row.state, "")),
            Text(str(row.kbits)),
            Text(board.sparkline(row), "cyan"),
            Text(str(row.watchers)),
            *([] if cluster is not None else [Text(str(row.lag_ms), "yellow" if row.lag_ms else "")]),
            *([] if cluster is not None else [Text(" ".join(row.warnings), "red")]),
        ]
        table.add_row(*cells, style="reverse" if row.id == board.selected else "")
    orders = "  ".join(f"{key} {name}" for key, (name, _) in ORDERS.items())
    kick = "   x kick" if cluster is None else ""
    told = board.question or board.note
    help_line = told or f"sort: {orders}{kick}   q quit"
    above = (Text(warning, "red", no_wrap=True, overflow="ellipsis") for warning in warnings)
    return Group(Text(board.headline(), "bold"), *above, table, Text(help_line, "bold red" if told else "dim"))


@contextmanager
def keyboard() -> Iterator[int]:
    """Keys as they are pressed, without an echo; the terminal is itself again afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def key_within(descriptor: int, seconds: float) -> str | None:
    """The next key, `None` where none is pressed so soon, `q` where the terminal is gone."""
    if not select.select([descriptor], [], [], max(seconds, 0.0))[0]:
        return None
    data = os.read(descriptor, 1)
    if data == ESCAPE and select.select([descriptor], [], [], 0)[0]:  # of an arrow, whose rest comes with it
        data += os.read(descriptor, 2)
    text = data.decode(errors="replace")
    return KEYS.get(text, text[:1]) if text else "q"
