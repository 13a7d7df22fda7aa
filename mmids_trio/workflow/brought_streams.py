"""The streams that one step brings in, as the directory of streams shows them.

What leaves the step's outlet says when they begin and end, and what they are made of.  A step may say where they come
from and how they are; streams that it has told the directory of itself are left to it.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.on_air.directory import OnAir, Owner, StreamEntry
from mmids_trio.on_air.views import SourceView, StreamNow
from mmids_trio.workflow.links import Outlet

Source = Callable[[StreamStarted], SourceView | None]
"""Where a stream comes from; `None` where it is none of those that the step brings in."""

Now = Callable[[StreamId], StreamNow]
"""How a stream is, as far as its step knows."""

_stream_of: Callable[[MediaEvent], StreamId] = attrgetter("stream_id")


def is_live(_stream_id: StreamId) -> StreamNow:
    """Of a step that knows no more than that it sends."""
    return StreamNow("live")


@define(eq=False)
class BroughtStreams:
    """See the module. `flow`: the step's. Synchronous, and ends with `close`."""

    owner: Owner
    on_air: OnAir
    outlet: Outlet
    step_type: str
    flow: Flow = Flow.PASSES_ON
    _source: Source | None = field(default=None, init=False)
    _now: Now = field(default=is_live, init=False)
    _entries: dict[StreamId, StreamEntry | None] = field(factory=dict, init=False)
    """`None` for those that only pass by."""

    def describe(self, source: Source, now: Now = is_live) -> None:
        """The step says from now on where its streams come from and how they are."""
        self._source, self._now = source, now
        self.outlet.on_media = self.note

    def on_stream(self, started: StreamStarted, is_live: bool) -> None:
        """A stream has begun or ended behind the step."""
        stream_id = started.stream_id
        if not is_live:
            self._end(stream_id)
        elif self.flow is Flow.PRODUCES and self.on_air.stream_of(stream_id) is None:
            self._begin(started)
            self.outlet.on_media = self.note
        elif self._source is not None:
            self._begin(started)

    def note(self, events: Sequence[MediaEvent]) -> None:
        """What has left the step."""
        now = trio.current_time()
        for stream_id, of_one in groupby(events, _stream_of):
            entry = self._entries[stream_id] if stream_id in self._entries else self._found(stream_id)
            if entry is not None:
                entry.meter.note(list(of_one), now)

    def _found(self, stream_id: StreamId) -> StreamEntry | None:
        """A step that was put into a running workflow is not told that its streams begin."""
        memory = self.outlet.ledger.streams.get(stream_id)
        return None if memory is None or self._source is None else self._begin(memory.started)

    def _begin(self, started: StreamStarted) -> StreamEntry | None:
        stream_id, source = started.stream_id, self._source or self._unknown
        is_known = started.rendition is not None and self.on_air.stream_of(stream_id) is not None
        if is_known or source(started) is None:
            self._entries[stream_id] = None
            return None
        of = stream_id if started.rendition is None else started.rendition.of
        entry = self._entries[stream_id] = self.on_air.begin(
            stream_id,
            started.stream_name,
            self.owner,
            lambda: self._now(stream_id),
            source=lambda: source(started),
            made_from=self.on_air.stream_of(of) if self.flow is Flow.REPLACES else None,
        )
        return entry

    def _unknown(self, _started: StreamStarted) -> SourceView:
        """Of a step that does not say."""
        return SourceView(None, self.step_type, "", 0, "")

    def _end(self, stream_id: StreamId) -> None:
        if (entry := self._entries.pop(stream_id, None)) is not None:
            self.on_air.end(entry)

    def close(self) -> None:
        """The step has ended."""
        for stream_id in list(self._entries):
            self._end(stream_id)
