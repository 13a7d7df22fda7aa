"""Viewers of HLS: each is a session id that stands in every URI, from the first playlist to its last request.

What HTTP has no connection for is bounded here: how many sessions there may be, of one address and in all, and how
long one lasts that asks for nothing.  Synchronous; who lets viewers in, and who looks at the clock, is elsewhere.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

from attrs import define, field

from mmids_trio.addresses import source_of
from mmids_trio.on_air.directory import ClientEntry

SESSION = "session"
"""The parameter of the query that names one."""

LEAST_SECONDS, TARGETS = 10.0, 3
"""Without a request a session ends after so long, or so many target durations, whichever is longer."""

MAX_SESSIONS = 20_000
"""Of one step: at some 2 kB, 40 MB."""

ENDS_AT_ONCE = 50
"""Sessions that end between two turns of others: each is told to some, and a line of the log, in 50 to 100 µs."""

MAX_OF_ADDRESS = 2_000
"""Of one IPv4 address or IPv6 /64 network, as all viewers behind a proxy have; a network of viewers is far smaller."""

_SESSION = re.compile(r"(?:^|&)session=([0-9a-f]{32})(?:&|$)")
_OWN = re.compile(r"(?:^|&)(?:session|_HLS_[A-Za-z]+)=[^&]*")


def rest_of(query: str) -> str:
    """A query without what is ours in it, and without what would end a quoted URI of a playlist."""
    return quote(_OWN.sub("", query).removeprefix("&"), safe="%&=+~:@!$'()*,;/?")


@define(eq=False)
class HlsViewer:
    """One viewer; a `Client` of its endpoint. `query`: what stands behind every URI, the `?` included."""

    id: str
    key: str
    peer_host: str
    query: bytes
    viewers: "HlsViewers"
    mark: object
    seen_at: float
    agent: str = ""
    """What program it says that it is."""
    bytes_sent: int = 0
    entry: ClientEntry | None = None
    end_reason: str | None = None
    """Why it has ended, if it has."""
    _on_end: list[Callable[[], None]] = field(factory=list, init=False)

    def when_over(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once, synchronously, when it ends; at once where it has."""
        if self.end_reason is None:
            self._on_end.append(tell)
        else:
            tell()

    def end(self, reason: str) -> None:
        """For `HlsViewers.end`."""
        self.end_reason = reason
        while self._on_end:  # most of them know the viewer, which else only the collector would take away
            self._on_end.pop(0)()

    def dismiss(self, reason: str = "what it used has ended") -> None:
        """See `endpoints.Client`: its next request is refused."""
        self.viewers.end(self, reason)


@define(eq=False)
class HlsViewers:
    """Those of one step. `entropy`: so many random bytes."""

    entropy: Callable[[int], bytes]
    patience: float = LEAST_SECONDS
    """Seconds without a request after which one has left."""
    bytes_sent: int = 0
    """To all that there ever were."""
    turned_away: int = 0
    _viewers: dict[str, HlsViewer] = field(factory=dict, init=False)
    """The one that asked last is the last."""
    _of_source: dict[str, int] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def all(self) -> list[HlsViewer]:
        """All that are here."""
        return list(self._viewers.values())

    def has_room(self, host: str) -> bool:
        """Whether another one of that address may come."""
        found = len(self._viewers) < MAX_SESSIONS and self._of_source.get(source_of(host), 0) < MAX_OF_ADDRESS
        self.turned_away += not found
        return found

    def begin(self, key: str, host: str, query: str, mark: object, now: float) -> HlsViewer:
        """A viewer of `key`, whose first request had `query`; it is not listed before `admit`."""
        name = self.entropy(16).hex()
        rest = rest_of(query)
        behind = f"?{SESSION}={name}&{rest}" if rest else f"?{SESSION}={name}"
        return HlsViewer(name, key, host, behind.encode("latin-1"), self, mark, now)

    def admit(self, viewer: HlsViewer) -> None:
        """It was let in."""
        self._viewers[viewer.id] = viewer
        source = source_of(viewer.peer_host)
        self._of_source[source] = self._of_source.get(source, 0) + 1

    def find(self, query: str, key: str, now: float) -> HlsViewer | None:
        """The viewer of `key` whose id a query has; it is here from now on for a while."""
        match = _SESSION.search(query)
        viewer = None if match is None else self._viewers.get(match[1])
        if viewer is None or viewer.key != key:
            return None
        viewer.seen_at = now
        return viewer

    def end(self, viewer: HlsViewer, reason: str) -> None:
        """It is gone, or has to go. Repeating it does nothing."""
        if viewer.end_reason is not None:
            return
        if self._viewers.pop(viewer.id, None) is not None:
            source = source_of(viewer.peer_host)
            self._of_source[source] -= 1
            if not self._of_source[source]:
                del self._of_source[source]
        viewer.end(reason)

    def end_silent(self, now: float) -> bool:
        """End some of those who have asked for nothing for too long; whether there are more."""
        silent = [viewer for viewer in self._viewers.values() if now - viewer.seen_at >= self.patience]
        for viewer in silent[:ENDS_AT_ONCE]:
            self.end(viewer, f"it asked for nothing for {self.patience:.0f} seconds")
        return len(silent) > ENDS_AT_ONCE

    def end_all(self, reason: str) -> None:
        """Nobody is served any more."""
        for viewer in self.all:
            self.end(viewer, reason)
