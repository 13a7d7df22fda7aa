"""Numbered events of a stream, small and readable: for tests of what reaches whom, not of media.

Every frame's payload is its stream and its number, so a lost, repeated or misplaced one shows at a glance.
"""

from collections.abc import Sequence

from attrs import define

from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.timeline import MODULUS

STREAM = StreamId("x")
"""The stream of tests that need but one."""

FRAME_MS = 40
"""Milliseconds between frames."""


@define
class Footage:
    """One stream from its start to its end. Of the frames, every `gop`th video frame is a key frame."""

    stream_id: StreamId = STREAM
    gop: int = 5
    origin: int = 0
    """Timestamp of frame 0."""
    number: int = 0
    """Of the next frame."""

    def start(self) -> list[MediaEvent]:
        """Started, metadata and both sequence headers."""
        started = StreamStarted(self.stream_id, f"name of {self.stream_id}")
        metadata = StreamMetadata(self.stream_id, {"encoder": "source"})
        return [started, metadata, self.header(MediaKind.VIDEO), self.header(MediaKind.AUDIO)]

    def header(self, kind: MediaKind) -> MediaPacket:
        """A sequence header."""
        data = f"{self.stream_id} {kind.value} header".encode()
        return MediaPacket(self.stream_id, kind, self.origin, data, is_sequence_header=True)

    def frames(self, count: int, kind: MediaKind = MediaKind.VIDEO) -> list[MediaEvent]:
        """The next `count` frames."""
        return [self._next_frame(kind) for _ in range(count)]

    def _next_frame(self, kind: MediaKind) -> MediaPacket:
        number, self.number = self.number, self.number + 1
        return MediaPacket(
            self.stream_id,
            kind,
            (self.origin + number * FRAME_MS) % MODULUS,
            f"{self.stream_id}{number}".encode(),
            is_key_frame=kind is MediaKind.VIDEO and number % self.gop == 0,
        )

    def end(self) -> MediaEvent:
        """The end of the stream."""
        return StreamEnded(self.stream_id)


def legality(events: Sequence[MediaEvent]) -> str | None:
    """What is wrong with the order of `events`, if anything: each stream is started, then has media, then ends."""
    live: set[StreamId] = set()
    for position, event in enumerate(events):
        if isinstance(event, StreamStarted):
            if event.stream_id in live:
                return f"{event} at {position} starts a live stream"
            live.add(event.stream_id)
        elif event.stream_id not in live:
            return f"{event} at {position} belongs to no live stream"
        elif isinstance(event, StreamEnded):
            live.remove(event.stream_id)
    return None
