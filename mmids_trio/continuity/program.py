"""One outgoing stream that is fed by one source after another: its timeline, and what a switch has to say first.

Slate and failover both switch by this, so it knows neither.  Times are seconds on any clock that does not go back;
timestamps are milliseconds, modulo 2**32.  The timeline goes on in real time over a switch: the first frame of the
next feed stands as long after the last one of the previous feed as it came after it.
"""

from attrs import Factory, define, evolve

from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamId, StreamMetadata
from mmids_trio.media.timeline import is_after, latest, shifted
from mmids_trio.media.tracks import TrackKey, remember_header

VIDEO_PATIENCE_SECONDS = 10.0
"""How long a source whose sequence header promises video may send audio alone before it counts without."""


@define
class FeedMemory:
    """What a decoder needs to know of a feed before its first frame, and when that may be."""

    metadata: StreamMetadata | None = None
    headers: dict[TrackKey, MediaPacket] = Factory(dict)
    has_video: bool = False
    _audio_alone_since: float | None = None

    def remember(self, event: StreamMetadata | MediaPacket) -> bool:
        """Note metadata and sequence headers; whether `event` is one of these, and no frame."""
        if isinstance(event, StreamMetadata):
            self.metadata = event
            return True
        self.has_video |= event.kind is MediaKind.VIDEO
        if event.is_sequence_header:
            remember_header(self.headers, event)
        return event.is_sequence_header

    def may_begin_with(self, frame: MediaPacket, now: float) -> bool:
        """Whether a decoder can begin with `frame`: a key frame, or sound where no video is about."""
        if frame.kind is MediaKind.VIDEO:
            self._audio_alone_since = None
            return frame.is_key_frame
        if frame.kind is not MediaKind.AUDIO:
            return False
        if not self.has_video:
            return True
        if self._audio_alone_since is None:
            self._audio_alone_since = now
        if now - self._audio_alone_since < VIDEO_PATIENCE_SECONDS:
            return False
        self.has_video, self._audio_alone_since = False, None  # until there is a picture again
        return True

    def is_vital(self, frame: MediaPacket) -> bool:
        """Whether `frame` shows that the feed is alive: a picture, or sound where no video is about."""
        return frame.kind is (MediaKind.VIDEO if self.has_video else MediaKind.AUDIO)


@define
class Program:
    """The outgoing stream."""

    stream_id: StreamId
    _shift: int = 0
    _last: dict[MediaKind, int] = Factory(dict)
    _newest: int | None = None
    _newest_at: float = 0.0

    def switch(self, feed: FeedMemory, first: MediaPacket, now: float) -> list[MediaEvent]:
        """From `first` on it is `feed` that is sent. Returns its metadata and headers, then `first`."""
        if self._newest is None:
            self._shift = 0
        else:
            passed = max(round((now - self._newest_at) * 1000), 1)
            self._shift = self._newest + passed - first.timestamp
        begins_at = shifted(first.timestamp, self._shift)
        metadata = [] if feed.metadata is None else [evolve(feed.metadata, stream_id=self.stream_id)]
        headers = [self._as_own(header, begins_at) for header in feed.headers.values()]
        return [*metadata, *headers, self.frame(first, now)]

    def frame(self, packet: MediaPacket, now: float) -> MediaPacket:
        """A frame of the present feed, on the stream's timeline, which never goes back within a kind."""
        timestamp = shifted(packet.timestamp, self._shift)
        last = self._last.get(packet.kind)
        if last is not None and is_after(last, timestamp):
            timestamp = last
        self._last[packet.kind] = timestamp
        if self._newest is None or is_after(timestamp, self._newest):
            self._newest, self._newest_at = timestamp, now
        return self._as_own(packet, timestamp)

    def header(self, event: StreamMetadata | MediaPacket) -> StreamMetadata | MediaPacket:
        """Metadata or a sequence header of the present feed, in its middle."""
        if isinstance(event, StreamMetadata):
            return event if event.stream_id == self.stream_id else evolve(event, stream_id=self.stream_id)
        timestamp = shifted(event.timestamp, self._shift)
        last = self._last.get(event.kind)
        return self._as_own(event, timestamp if last is None else latest(timestamp, last))

    def _as_own(self, packet: MediaPacket, timestamp: int) -> MediaPacket:
        if packet.timestamp == timestamp and packet.stream_id == self.stream_id:
            return packet
        return evolve(packet, stream_id=self.stream_id, timestamp=timestamp)
