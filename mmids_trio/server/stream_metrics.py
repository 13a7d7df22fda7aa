"""What `GET /metrics` shows of streams: of those with most watchers, as many as a setting says; the rest summed.

Looked at slice by slice, since there may be thousands of streams and clients.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import nlargest
from typing import get_args

from attrs import define, field, frozen

from mmids_trio.errors import shortened
from mmids_trio.metrics import catalog
from mmids_trio.metrics.counts import Metric
from mmids_trio.metrics.exposition import Sample, labelled
from mmids_trio.on_air.directory import OnAir, StreamEntry
from mmids_trio.on_air.views import StreamState

PER_SLICE = 32
"""Streams or clients that are looked at between two turns of everybody else."""

OTHERS = ("", "", "")
"""Labels of those that have no series of their own."""


@frozen
class _Seen:
    labels: tuple[str, str, str]
    bits: int
    frames: float
    watchers: int
    age: float


@define(eq=False)
class StreamMetrics:
    """See the module. `most`: streams with series of their own; `clock`: the one that meters are told."""

    on_air: OnAir
    most: Callable[[], int]
    clock: Callable[[], float]
    _states: Counter[str] = field(factory=Counter, init=False)
    _shown: list[_Seen] = field(factory=list, init=False)
    _rest: list[_Seen] = field(factory=list, init=False)

    def gather(self) -> Iterator[None]:
        """Look at all streams; let others have a turn at each step."""
        watchers, states, seen = Counter[str](), Counter[str](), list[_Seen]()
        yield from self.on_air.watched(watchers, PER_SLICE)
        for count, entry in enumerate(self.on_air.streams(), 1):
            if self.on_air.stream(entry.id) is entry:
                states[entry.now(self.clock()).state] += 1
                seen.append(self._look(entry, watchers[entry.id]))
            if count % PER_SLICE == 0:
                yield
        most = self.most()
        self._states = states
        self._shown = nlargest(most, seen, key=lambda each: each.watchers)
        chosen = set(map(id, self._shown))
        self._rest = [each for each in seen if id(each) not in chosen]

    def _look(self, entry: StreamEntry, watchers: int) -> _Seen:
        now = self.clock()
        tracks = entry.meter.tracks(now)
        last = entry.began_at if entry.meter.last_at is None else entry.meter.last_at
        return _Seen(
            (entry.owner.workflow, shortened(entry.name), entry.id),
            sum(track.bitrate_10s or 0 for track in tracks),
            sum(track.frame_rate or 0.0 for track in tracks),
            watchers,
            max(now - last, 0.0),
        )

    def samples(self) -> Iterator[Sample]:
        """Of those that were seen last."""
        for state in get_args(StreamState):
            yield catalog.STREAMS, labelled(catalog.STREAMS.labels, (state,)), self._states[state]
        for seen in self._shown:
            yield from _of(seen)
        if self._rest:
            yield from _of(
                _Seen(
                    OTHERS,
                    sum(each.bits for each in self._rest),
                    sum(each.frames for each in self._rest),
                    sum(each.watchers for each in self._rest),
                    max(each.age for each in self._rest),
                )
            )


def _of(seen: _Seen) -> Iterator[Sample]:
    values: tuple[tuple[Metric, float], ...] = (
        (catalog.STREAM_BITS, seen.bits),
        (catalog.STREAM_FRAMES, round(seen.frames, 3)),
        (catalog.STREAM_WATCHERS, seen.watchers),
        (catalog.STREAM_AGE, round(seen.age, 3)),
    )
    for metric, value in values:
        yield metric, labelled(metric.labels, seen.labels), value
