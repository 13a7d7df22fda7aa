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

YES: Final = "y"
"""To whether a stream is to be kicked; any other key is no."""

ONE_SERVER: Final = ("lag_ms", "warnings")
"""What is not known of the streams of other nodes."""

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
    node: str = ""
    """Where it is, on a board of a cluster."""


@frozen
class ClusterNow:
    """A cluster as one of its nodes sees it."""

    name: str
    registry: str
    nodes: Sequence[Mapping[str, Any]]
    """As the API has them."""
    warnings: Sequence[str]

    def total(self, what: str) -> int:
        """Of all nodes that have said."""
        return sum(node[what] or 0 for node in self.nodes)

    def headline(self) -> str:
        """All of it in one line."""
        draining = sum(1 for node in self.nodes if node["draining"])
        nodes = f"{len(self.nodes)} nodes, {draining} draining, registry {self.registry}"
        return f"cluster {self.name}: {nodes}   {self.total('streams')} streams   {self.total('watchers')} watchers"


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
    cluster: ClusterNow | None = None
    """On a board of a cluster."""
    selected: str | None = None
    """The id of the stream that a key is about."""
    asked: Row | None = None
    """The stream that is sent away if the next key says so: the one of then, whatever is chosen by then."""
    note: str = ""
    """What came of the last key, where that is worth a word."""
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
        self._take_rows([_row(stream, lags.get(stream["id"], 0)) for stream in streams])
        self._take_metrics(metrics, now, sum(row.watchers for row in self.rows))

    def look_at_cluster(self, cluster: Mapping[str, Any], streams: Iterable[Mapping[str, Any]] | None) -> None:
        """Take the answers to one look at a cluster; without streams, those of before are shown."""
        self.cluster = ClusterNow(
            printable(cluster["name"]),
            cluster["registry"],
            cluster["nodes"],
            [printable(warning) for warning in cluster["warnings"]],
        )
        if streams is not None:
            self._take_rows([_row_of_cluster(stream) for stream in streams])

    def _take_rows(self, rows: Sequence[Row]) -> None:
        self._history = {row.id: self._history.get(row.id, deque(maxlen=HISTORY)) for row in rows}
        for row in rows:
            self._history[row.id].append(row.kbits)
        self.rows = rows
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
        self.rows = sorted(self.rows, key=lambda row: (key(row), row.name, row.node))
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

    def press(self, key: str) -> Row | None:
        """A key, as `screen.key_within` has it; the stream that is to be sent away by now."""
        asked, self.asked, self.note = self.asked, None, ""
        if asked is not None:
            return asked if key == YES else None
        if key in ORDERS:
            self.order = key
            self.sort()
        elif key in ("up", "down"):
            self.select(1 if key == "down" else -1)
        elif key == "x" and self.cluster is None:
            self.asked = self.chosen
        return None

    @property
    def question(self) -> str:
        """What the next key answers."""
        return "" if self.asked is None else f"kick {self.asked.name} with its publisher? {YES}/n"

    def sparkline(self, row: Row) -> str:
        """Its bitrate over the last looks; the highest of them fills the line."""
        seen = self._history.get(row.id, ())
        most = max(seen, default=0) or 1
        return "".join(SPARKS[round(value * (len(SPARKS) - 1) / most)] for value in seen)

    def headline(self) -> str:
        """The server, or the cluster, in one line."""
        if self.cluster is not None:
            return self.cluster.headline()
        totals = self.totals
        cpu = "" if totals.cpu is None else f"   cpu {100 * totals.cpu:.0f} %"
        targets = f"targets {totals.targets_up} up, {totals.targets_down} down"
        return f"{len(self.rows)} streams   {totals.watchers} watchers   {targets}{cpu}"

    def lines(self) -> Sequence[str]:
        """For where there is no terminal."""
        nodes = () if self.cluster is None else map(_node_line, self.cluster.nodes)
        warnings = () if self.cluster is None else (f"warning: {text}" for text in self.cluster.warnings)
        return [self.headline(), *warnings, *nodes, *map(_line, self.rows)]

    def document(self) -> Mapping[str, Any]:
        """For machines."""
        if self.cluster is not None:
            streams = [asdict(row, filter=lambda attribute, _: attribute.name not in ONE_SERVER) for row in self.rows]
            return {**asdict(self.cluster), "streams": streams}
        streams = [asdict(row, filter=lambda attribute, _: attribute.name != "node") for row in self.rows]
        return {**asdict(self.totals), "streams": streams}


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


def _row_of_cluster(stream: Mapping[str, Any]) -> Row:
    node = printable(stream["node"])
    return Row(
        id=f"{node} {stream['id']}",
        name=printable(stream["name"]),
        workflow=printable(stream["workflow"]),
        state=stream["state"],
        kbits=round(stream["bitrate"] / 1000),
        watchers=stream["watchers"],
        lag_ms=0,
        warnings=(),
        node=node,
    )


def _node_line(node: Mapping[str, Any]) -> str:
    counts = ("revision", "streams", "publishers", "watchers", "interrupted")
    told = (f"{name}={'?' if node[name] is None else node[name]}" for name in counts)
    return printable(" ".join([f"node={node['node']}", f"draining={str(node['draining']).lower()}", *told]))


def _line(row: Row) -> str:
    told = [
        f"stream={row.name}",
        *([f"node={row.node}"] if row.node else []),
        f"workflow={row.workflow}",
        f"state={row.state}",
        f"kbits={row.kbits}",
        f"watchers={row.watchers}",
        *([] if row.node else [f"lag_ms={row.lag_ms}"]),
    ]
    return " ".join([*told, *([f"warnings={','.join(row.warnings)}"] if row.warnings else [])])
