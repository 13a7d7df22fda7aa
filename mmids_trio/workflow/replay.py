"""What has gone over a link, as far as a late joiner behind it must know: a ledger per link.

The ledger is also the guard of the link: it lets through only what makes a legal sequence for each stream
(started, then metadata and packets, then ended), whatever a step does.  Pure: no task or channel in here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import Factory, define, evolve, field

from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.timeline import is_after, latest, shifted
from mmids_trio.media.tracks import TrackKey, remember_header

KEY_FRAME_PATIENCE_MS = 10_000
"""How much audio a splice lets go by while it waits for a key frame; the longest usual group of pictures."""

LatestTimestamps = dict[MediaKind, int]
"""Timestamp of the last frame of each kind, in milliseconds."""


@define
class Splice:
    """Joins a new feed of a stream to the timeline of the feed that it replaces.

    Frames wait for the first key frame (the first audio frame, where no video is about; video always waits for
    a key frame); from there on timestamps are shifted just so far that they do not go backwards within a kind.
    """

    last: LatestTimestamps
    shift: int | None = None
    gap: int | None = None
    """Milliseconds between the newest frame of the old feed and the first of the new one, where they are known: a
    source that comes back has a clock of its own, so its timestamps say nothing about that."""
    _first_audio: int | None = None
    _has_key_frame: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._has_key_frame = self.shift is not None

    def admit(self, packet: MediaPacket) -> MediaPacket | None:
        """The packet as later steps shall see it, or `None` where it must not pass yet."""
        if packet.is_sequence_header:
            return self.restated(packet) if self.shift is None else self._placed(packet)
        if not self._may_pass(packet):
            return None
        if self.shift is None:
            self.shift = self._shift_for(packet.timestamp)
        return self._placed(packet)

    def restated(self, header: MediaPacket) -> MediaPacket:
        """A sequence header of the new feed, at the place in the old timeline where its frames are to follow."""
        if not self.last:
            return header
        return evolve(header, timestamp=self.last.get(header.kind, _newest(self.last)))

    def _may_pass(self, packet: MediaPacket) -> bool:
        if packet.kind is MediaKind.VIDEO:
            self._has_key_frame = self._has_key_frame or packet.is_key_frame
            return self._has_key_frame
        return self.shift is not None or (packet.kind is MediaKind.AUDIO and self._audio_may_start(packet))

    def _audio_may_start(self, packet: MediaPacket) -> bool:
        if MediaKind.VIDEO not in self.last:
            return True
        if self._first_audio is None:
            self._first_audio = packet.timestamp
        return is_after(packet.timestamp, shifted(self._first_audio, KEY_FRAME_PATIENCE_MS))

    def _shift_for(self, timestamp: int) -> int:
        if not self.last:
            return 0
        newest = _newest(self.last)
        if self.gap is not None:
            return newest + max(self.gap, 1) - timestamp
        return 0 if is_after(timestamp, newest) else newest + 1 - timestamp

    def _placed(self, packet: MediaPacket) -> MediaPacket:
        timestamp = shifted(packet.timestamp, self.shift or 0)
        last = self.last.get(packet.kind)
        if last is not None and not is_after(timestamp, last):
            timestamp = last
        if not packet.is_sequence_header:
            self.last[packet.kind] = timestamp
        return packet if timestamp == packet.timestamp else evolve(packet, timestamp=timestamp)


@define
class StreamMemory:
    """What a late joiner needs of one live stream, and how its timeline stands."""

    started: StreamStarted
    metadata: StreamMetadata | None = None
    headers: dict[TrackKey, MediaPacket] = Factory(dict)
    last: LatestTimestamps = Factory(dict)
    splice: Splice | None = None

    @property
    def has_video(self) -> bool:
        """Whether video is known to be in it."""
        return MediaKind.VIDEO in self.last or any(key.kind is MediaKind.VIDEO for key in self.headers)

    def decoding_events(self) -> list[MediaEvent]:
        """Latest metadata and sequence headers."""
        metadata: list[MediaEvent] = [] if self.metadata is None else [self.metadata]
        return [*metadata, *self.headers.values()]

    def replay(self) -> list[MediaEvent]:
        """All that a late joiner must see before the next frame."""
        return [self.started, *self.decoding_events()]

    def copy(self) -> "StreamMemory":
        """For another link that now carries the same stream, unspliced."""
        return StreamMemory(self.started, self.metadata, dict(self.headers), dict(self.last))


@define
class Ledger:
    """The live streams of one link, in the order in which they started."""

    streams: dict[StreamId, StreamMemory] = Factory(dict)
    refused: int = 0
    on_stream: Callable[[StreamStarted, bool], None] | None = None
    """Told, in passing, of every stream that begins (`True`) or ends."""

    def admit(self, events: Sequence[MediaEvent]) -> Sequence[MediaEvent]:
        """Record `events` and return those that may pass: all of them, as a rule."""
        admitted: list[MediaEvent] = []
        stream_id: StreamId | None = None
        memory: StreamMemory | None = None
        for event in events:
            if type(event) is MediaPacket and not event.is_sequence_header:  # nearly all: no call for them
                if event.stream_id is not stream_id:
                    stream_id = event.stream_id
                    memory = self.streams.get(stream_id)
                if memory is not None and memory.splice is None:
                    memory.last[event.kind] = event.timestamp
                    admitted.append(event)
                    continue
            stream_id = None  # what comes may begin or end one
            if (passed := self._admit_one(event)) is not None:
                admitted.append(passed)
        self.refused += len(events) - len(admitted)
        return admitted

    def _admit_one(self, event: MediaEvent) -> MediaEvent | None:
        memory = self.streams.get(event.stream_id)
        if type(event) is MediaPacket:
            return None if memory is None else _admit_packet(memory, event)
        if isinstance(event, StreamStarted):
            if memory is not None:
                return None
            self.streams[event.stream_id] = StreamMemory(event)
            if self.on_stream is not None:
                self.on_stream(event, True)
            return event
        if memory is None:
            return None
        if isinstance(event, StreamEnded):
            del self.streams[event.stream_id]
            if self.on_stream is not None:
                self.on_stream(memory.started, False)
        elif isinstance(event, StreamMetadata):
            memory.metadata = event
        return event

    def end_all(self) -> None:
        """Nothing more comes over the link."""
        for stream_id in list(self.streams):
            self._admit_one(StreamEnded(stream_id))

    def splice(self, stream_id: StreamId, last: LatestTimestamps) -> list[MediaEvent]:
        """From now on join what comes of this stream to a timeline that stands at `last`.

        Returns the metadata and the sequence headers with which the new feed begins.
        """
        memory = self.streams[stream_id]
        splice = memory.splice = Splice(dict(last))
        metadata: list[MediaEvent] = [] if memory.metadata is None else [memory.metadata]
        return [*metadata, *(splice.restated(header) for header in memory.headers.values())]

    def restart(self, stream_id: StreamId, gap: int) -> None:
        """The source of a stream begins anew, `gap` milliseconds after its last frame.

        What comes next goes on where the timeline stands; what was known for decoding counts no more.
        """
        memory = self.streams.get(stream_id)
        if memory is not None:
            memory.metadata, memory.headers = None, {}
            memory.splice = Splice(dict(memory.last), gap=gap)

    def shift(self, stream_id: StreamId, by: int, last: LatestTimestamps) -> None:
        """From now on move the timestamps of this stream by `by` milliseconds, on a timeline that stands at `last`."""
        self.streams[stream_id].splice = Splice(dict(last), by) if by else None

    def adopt(self, arriving: Mapping[StreamId, StreamMemory]) -> None:
        """Make the streams those of `arriving`, as if all of them had already passed this link."""
        known = self.streams
        self.streams = {
            stream_id: known[stream_id] if stream_id in known else memory.copy()
            for stream_id, memory in arriving.items()
        }

    def expect(self, arriving: Mapping[StreamId, StreamMemory]) -> None:
        """Take the streams of `arriving` for started; their headers are yet to come (a step that replaces)."""
        self.streams = {stream_id: StreamMemory(memory.started) for stream_id, memory in arriving.items()}

    def snapshot(self) -> dict[StreamId, LatestTimestamps]:
        """Which streams are live, and where each one's timeline stands."""
        return {stream_id: dict(memory.last) for stream_id, memory in self.streams.items()}


def _admit_packet(memory: StreamMemory, packet: MediaPacket) -> MediaPacket | None:
    if packet.is_sequence_header:
        remember_header(memory.headers, packet)
    if memory.splice is not None:
        spliced = memory.splice.admit(packet)
        if spliced is None:
            return None
        packet = spliced
    if not packet.is_sequence_header:
        memory.last[packet.kind] = packet.timestamp
    return packet


def merge_latest(timelines: Iterator[LatestTimestamps]) -> LatestTimestamps:
    """The latest timestamp of each kind over several links."""
    merged: LatestTimestamps = {}
    for timeline in timelines:
        for kind, timestamp in timeline.items():
            merged[kind] = latest(timestamp, merged[kind]) if kind in merged else timestamp
    return merged


def _newest(last: LatestTimestamps) -> int:
    timestamps = iter(last.values())
    newest = next(timestamps)
    for timestamp in timestamps:
        newest = latest(timestamp, newest)
    return newest
