"""What the command top shows, made of the API's answers: rows in an order, bitrates so far, lines to print. Pure."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict, define, field, frozen

from mmids_trio.errors import printable

SPARKS: Final = "▁▂▃▄▅▆▇█"

HISTORY = 12
"""Looks of which a stream's bitrate is shown."""

_COUNTED = re.compile(
    r"^(process_cpu_seconds_total|mmids_step_targets_(up|down)\{.*\}) ([0-9.e+]+)$", re.ASCII | re.MULTILINE
)


@frozen
class Row:
    """One stream."""

    id: str
    name: str
    workflow: str
    state: str
    kbits: int
    watchers: int
    lag_ms: int
    """Of the watcher that is furthest behind."""
    warnings: tuple[str, ...]


@frozen
class Totals:
    """The server as a whole. `cpu`: part of one core, null before the second look."""

    watchers: int
    targets_up: int
    targets_down: int
    cpu: float | None


ORDERS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "n": ("name", lambda row: row.name),
    "b": ("bitrate", lambda row: -row.kbits),
    "w": ("watchers", lambda row: -row.watchers),
    "l": ("lag", lambda row: -row.lag_ms),
    "s": ("state", lambda row: (row.state == "live", row.state)),
}
"""By the key that asks for it: what the order is called, and what rows are sorted by."""


@define
class Board:
    """What was seen so far."""

    order: str = "b"
    rows: Sequence[Row] = ()
    totals: Totals = Totals(0, 0, 0, None)
    selected: str | None = None
    """The id of the stream that a key is about."""
    _history: dict[str, deque[int]] = field(factory=dict, init=False)
    _cpu_seconds: float | None = field(default=None, init=False)
    _looked_at: float = field(default=0.0, init=False)

    def look(
        self, streams: Iterable[Mapping[str, Any]], clients: Iterable[Mapping[str, Any]], metrics: str, now: float
    ) -> None:
        """Take the answers to one look at the server, at `now` in seconds of any clock."""
        lags: dict[str, int] = {}
        for client in clients:
            if client["role"] == "watcher" and client["stream"] is not None:
                lags[client["stream"]] = max(lags.get(client["stream"], 0), client["lag_ms"])
        rows = [_row(stream, lags.get(stream["id"], 0)) for stream in streams]
        self._history = {row.id: self._history.get(row.id, deque(maxlen=HISTORY)) for row in rows}
        for row in rows:
            self._history[row.id].append(row.kbits)
        self.rows = rows
        self._take_metrics(metrics, now, sum(row.watchers for row in rows))
        self.sort()

    def _take_metrics(self, metrics: str, now: float, watchers: int) -> None:
        cpu_seconds, targets = None, {"up": 0, "down": 0}
        for name, state, value in _COUNTED.findall(metrics):
            if state:
                targets[state] += int(float(value))
            elif name.startswith("process"):
                cpu_seconds = float(value)
        cpu = None
        if cpu_seconds is not None and self._cpu_seconds is not None and now > self._looked_at:
            cpu = (cpu_seconds - self._cpu_seconds) / (now - self._looked_at)
        self._cpu_seconds, self._looked_at = cpu_seconds, now
        self.totals = Totals(watchers, targets["up"], targets["down"], cpu)

    def sort(self) -> None:
        """In the order that is asked for; streams that are alike by name."""
        key = ORDERS[self.order][1]
        self.rows = sorted(self.rows, key=lambda row: (key(row), row.name))
        if not any(row.id == self.selected for row in self.rows):
            self.selected = self.rows[0].id if self.rows else None

    def select(self, by: int) -> None:
        """Go down so many rows, or up."""
        ids = [row.id for row in self.rows]
        if self.selected in ids:
            place = ids.index(self.selected) + by
            self.selected = ids[min(max(place, 0), len(ids) - 1)]

    @property
    def chosen(self) -> Row | None:
        """The stream that a key is about."""
        return next((row for row in self.rows if row.id == self.selected), None)

    def sparkline(self, row: Row) -> str:
        """Its bitrate over the last looks; the highest of them fills the line."""
        seen = self._history.get(row.id, ())
        most = max(seen, default=0) or 1
        return "".join(SPARKS[round(value * (len(SPARKS) - 1) / most)] for value in seen)

    def headline(self) -> str:
        """The server in one line."""
        totals = self.totals
        cpu = "" if totals.cpu is None else f"   cpu {100 * totals.cpu:.0f} %"
        targets = f"targets {totals.targets_up} up, {totals.targets_down} down"
        return f"{len(self.rows)} streams   {totals.watchers} watchers   {targets}{cpu}"

    def lines(self) -> Sequence[str]:
        """For where there is no terminal."""
        return [self.headline(), *map(_line, self.rows)]

    def document(self) -> Mapping[str, Any]:
        """For machines."""
        return {**asdict(self.totals), "streams": [asdict(row) for row in self.rows]}


def _row(stream: Mapping[str, Any], lag_ms: int) -> Row:
    rates = [track["bitrate_1s"] or 0 for track in stream["tracks"]]
    return Row(
        id=stream["id"],
        name=printable(stream["name"]),
        workflow=printable(stream["workflow"]),
        state=stream["state"],
        kbits=round(sum(rates) / 1000),
        watchers=stream["watchers"],
        lag_ms=lag_ms,
        warnings=tuple(printable(warning["code"]) for warning in stream["warnings"]),
    )


def _line(row: Row) -> str:
    told = [
        f"stream={row.name}",
        f"workflow={row.workflow}",
        f"state={row.state}",
        f"kbits={row.kbits}",
        f"watchers={row.watchers}",
        f"lag_ms={row.lag_ms}",
    ]
    return " ".join([*told, *([f"warnings={','.join(row.warnings)}"] if row.warnings else [])])
