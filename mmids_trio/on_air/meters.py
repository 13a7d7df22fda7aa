"""What the media of a stream is and how much comes, counted batch by batch where it comes in.

`StreamMeter.note` sees every packet of every publisher: its loop calls no function for a frame that only has to be
counted. What is worth a call comes with key frames, headers and new codecs. `tests/test_hot_paths.py` counts that.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

from attrs import define, field

from mmids_trio.media.configuration import VideoConfiguration, read_configuration
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket
from mmids_trio.media.tracks import is_of_main_track
from mmids_trio.on_air.views import TrackView

SHORT_SECONDS, LONG_SECONDS = 1.0, 10.0
"""What rates are measured over."""

MARK_SECONDS = 0.25
"""From one mark to the next; a rate over `SHORT_SECONDS` is one over a mark's time more at most."""

MARKS = int(LONG_SECONDS / MARK_SECONDS) + 4
"""Kept of each track: as many as `LONG_SECONDS` have, and some to spare."""

CLOCK = 2**32
"""Timestamps wrap (RTMP 1.0 §5.3.1.2)."""

ENHANCED_WRAPPER: Final = 0x86
"""Bits of a video packet's first byte that say it may be of other tracks than the main one (Enhanced RTMP v2)."""


@define(eq=False)
class TrackMeter:
    """The media of one kind, of all its tracks; what is described is the main one."""

    kind: Literal["video", "audio"]
    codec: str | None = field(default=None, init=False)
    _codec_string: str | None = field(default=None, init=False)
    _profile: int | None = field(default=None, init=False)
    _level: int | None = field(default=None, init=False)
    _size: tuple[int, int] | None = field(default=None, init=False)
    _sample_rate: int | None = field(default=None, init=False)
    _channels: int | None = field(default=None, init=False)
    _described_by: int | None = field(default=None, init=False)
    """A hash of the configuration's record: the record itself is as long as its sender likes."""
    _changes: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)
    _frames: int = field(default=0, init=False)
    _last_at: float = field(default=0.0, init=False)
    _key_frame: int | None = field(default=None, init=False)
    """The latest one's timestamp."""
    _key_frame_interval_ms: int | None = field(default=None, init=False)
    _marks: deque[tuple[float, int, int]] = field(factory=lambda: deque(maxlen=MARKS), init=False)
    """A time, and the bytes and frames that had come before it."""

    def count(self, size: int, frames: int, now: float) -> None:
        """A batch has come."""
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, self._bytes, self._frames))
        self._bytes += size
        self._frames += frames
        self._last_at = now

    def describe(self, packet: MediaPacket) -> None:
        """A sequence header, or the first frame of a codec: what it says of the track, where it can be read."""
        configuration = read_configuration(packet)
        if configuration is None:
            if packet.codec != self.codec and is_of_main_track(packet):
                self._forget(packet.codec)
            return
        described_by = hash((configuration.codec, configuration.record, configuration.rfc6381))
        if described_by == self._described_by:
            return
        self._forget(configuration.codec)
        self._described_by, self._codec_string = described_by, configuration.rfc6381
        if isinstance(configuration, VideoConfiguration):
            self._size, self._profile, self._level = configuration.size, configuration.profile, configuration.level
        else:
            self._sample_rate, self._channels = configuration.sample_rate, configuration.channels

    def _forget(self, codec: str | None) -> None:
        """What comes now is described otherwise, or not at all."""
        self._changes += self._described_by is not None or self.codec not in (None, codec)
        self.codec = codec
        self._described_by = self._codec_string = self._profile = self._level = None
        self._size = self._sample_rate = self._channels = None

    def key_frame(self, packet: MediaPacket) -> None:
        """The main track has one."""
        if self._key_frame is not None:
            interval = (packet.timestamp - self._key_frame) % CLOCK
            self._key_frame_interval_ms = interval if interval < CLOCK // 2 else None
        self._key_frame = packet.timestamp

    def rates(self, seconds: float, now: float) -> tuple[float, float] | None:
        """Bytes and frames per second over the last `seconds`, or since the start; `None` in the first second."""
        if not self._marks or now - self._marks[0][0] < SHORT_SECONDS:
            return None
        if self._last_at < now - seconds:
            return 0.0, 0.0
        began = next((mark for mark in reversed(self._marks) if mark[0] <= now - seconds), self._marks[0])
        time, size, frames = began
        return (self._bytes - size) / (now - time), (self._frames - frames) / (now - time)

    def view(self, now: float) -> TrackView | None:
        """As it is now; `None` where nothing has come."""
        if not self._marks:
            return None
        short, long = self.rates(SHORT_SECONDS, now), self.rates(LONG_SECONDS, now)
        width, height = self._size or (None, None)
        is_video = self.kind == "video"
        return TrackView(
            kind=self.kind,
            codec=self.codec,
            codec_string=self._codec_string,
            profile=self._profile,
            level=self._level,
            width=width,
            height=height,
            frame_rate=long[1] if is_video and long is not None else None,
            sample_rate=self._sample_rate,
            channels=self._channels,
            bitrate_1s=None if short is None else round(8 * short[0]),
            bitrate_10s=None if long is None else round(8 * long[0]),
            key_frame_interval_ms=self._key_frame_interval_ms,
            last_frame_ms=round(1000 * (now - self._last_at)),
            configuration_changes=self._changes,
        )


@define(eq=False)
class StreamMeter:
    """All media of one stream, whoever sends it."""

    bytes: int = field(default=0, init=False)
    """Of media, ever."""
    _video: TrackMeter = field(factory=lambda: TrackMeter("video"), init=False)
    _audio: TrackMeter = field(factory=lambda: TrackMeter("audio"), init=False)

    def note(self, events: Sequence[MediaEvent], now: float) -> int:
        """A batch comes in; returns the bytes of its media. Bytes of headers count, frames are of the main track."""
        video, audio = self._video, self._audio
        total = video_bytes = audio_bytes = video_frames = 0
        for event in events:
            if type(event) is not MediaPacket:
                continue
            data, kind = event.data, event.kind
            size = len(data)
            total += size
            if kind is MediaKind.VIDEO:
                video_bytes += size
                if event.is_sequence_header or (event.codec != video.codec and event.codec is not None):
                    video.describe(event)
                if event.is_sequence_header or not size:
                    continue
                if data[0] & ENHANCED_WRAPPER == ENHANCED_WRAPPER and not is_of_main_track(event):
                    continue
                video_frames += 1
                if event.is_key_frame:
                    video.key_frame(event)
            elif kind is MediaKind.AUDIO:
                audio_bytes += size
                if event.is_sequence_header or (event.codec != audio.codec and event.codec is not None):
                    audio.describe(event)
        if video_bytes:
            video.count(video_bytes, video_frames, now)
        if audio_bytes:
            audio.count(audio_bytes, 0, now)
        self.bytes += total
        return total

    def tracks(self, now: float) -> tuple[TrackView, ...]:
        """Those of which something has come."""
        views = (self._video.view(now), self._audio.view(now))
        return tuple(view for view in views if view is not None)
