"""A stream that is pulled from another server, as later steps see it: one, over several connections to its source."""

from collections.abc import Callable, Sequence
from math import inf

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.on_air.views import StreamNow
from mmids_trio.rtmp.client.pulling import Received
from mmids_trio.rtmp.ingest import media_events
from mmids_trio.steps.stream_news import NewsOf, StreamNews
from mmids_trio.workflow.step import Outbox


@define(eq=False)
class PulledStream:
    """See the module. `stream_id_of` names the stream with a number; `grace_s`: how long it waits for its source."""

    name: str
    stream_id_of: Callable[[int], StreamId]
    news_of: NewsOf
    outbox: Outbox
    grace_s: float
    stream_id: StreamId | None = field(default=None, init=False)
    ends_at: float = field(default=inf, init=False)
    """When it ends unless media come; for ever, while they do."""
    _count: int = field(default=0, init=False)
    _last_sent: float = field(default=0.0, init=False)
    _clock: SourceClock = field(factory=SourceClock, init=False)
    """Of the present connection's source."""
    _alarm: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @property
    def is_interrupted(self) -> bool:
        """Whether it waits for its source."""
        return self.ends_at < inf

    async def send(self, media: Sequence[Received]) -> None:
        """Hand media on; the first of a connection begin the stream, or go on with it."""
        beginning: list[MediaEvent] = []
        if self.stream_id is None:
            self._count += 1
            self.stream_id = self.stream_id_of(self._count)
            beginning.append(StreamStarted(self.stream_id, self.name))
            self._clock = SourceClock()
        elif self.is_interrupted:
            self._resume(self.stream_id)
            self._clock = SourceClock()
        self._last_sent = trio.current_time()
        self._end_at(inf)
        events = [event for part in media for event in media_events(self.stream_id, part, self._clock)]
        await self.outbox.send([*beginning, *events])

    def _resume(self, stream_id: StreamId) -> None:
        gap = round((trio.current_time() - self._last_sent) * 1000)
        self.outbox.restart_stream(stream_id, gap)
        StreamNews(self.news_of, stream_id, self.name).resumed(gap)

    def interrupt(self) -> None:
        """The connection is lost."""
        if self.stream_id is None or self.is_interrupted:
            return
        if not self.grace_s:
            self.end()
            return
        self.wait_from_now()
        StreamNews(self.news_of, self.stream_id, self.name).interrupted(self.grace_s)

    def wait_from_now(self) -> None:
        """An interrupted stream waits for its source as long as if it had been lost just now."""
        self._end_at(trio.current_time() + self.grace_s)

    def _end_at(self, time: float) -> None:
        self.ends_at = self._alarm.deadline = time

    def now(self) -> StreamNow:
        """How it is, for who lists streams."""
        return StreamNow("interrupted", self.seconds_left) if self.is_interrupted else StreamNow("live")

    @property
    def seconds_left(self) -> float | None:
        """Until it ends, where it is interrupted."""
        return max(self.ends_at - trio.current_time(), 0.0) if self.is_interrupted else None

    def end(self) -> None:
        """The source says that it is over, or nobody believes in it any more."""
        if self.stream_id is not None:
            self.outbox.end_stream(self.stream_id)
        self.stream_id = None
        self._end_at(inf)

    async def end_overdue(self, may_end: Callable[[], bool] = lambda: True) -> None:
        """End it when its time is up, until cancelled; where it may not end then, it has as long again.

        A task of its own: that the stream is over is no reason to call its source any sooner.
        """
        while True:
            with trio.CancelScope(deadline=self.ends_at) as self._alarm:
                await trio.sleep_forever()
            if trio.current_time() >= self.ends_at:
                if may_end():
                    self.end()
                else:
                    self.wait_from_now()
