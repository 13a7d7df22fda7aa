"""What the media of a stream is and how much comes, counted batch by batch where it comes in.

`StreamMeter.note` sees every packet of every publisher: its loop calls no function for a frame that only has to be
counted. What is worth a call comes with key frames, headers and new codecs. `tests/test_hot_paths.py` counts that.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

from attrs import define, field

from mmids_trio.media.configuration import VideoConfiguration, read_configuration
from mmids_trio.media.events import AUDIO, VIDEO, MediaEvent, MediaPacket
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

LONGEST_STEP_MS = 2_000
"""From one frame to the next of its kind; more is a jump, and so is any step back."""

JITTER_SHARE = 16
"""What a batch changes the average by is its part of so many (RFC 3550 §6.4.1)."""

ENHANCED_WRAPPER: Final = 0x86
"""Bits of a video packet's first byte that say it may be of other tracks than the main one (Enhanced RTMP v2)."""

ENHANCED_SOUND: Final = 0x95
"""Those of an audio packet's first byte."""


MAX_KEPT_HEADER_BYTES = 4096
"""Of a sequence header of pictures that is kept; HEVC's with everything in it has some hundred."""

Show = Callable[[MediaPacket | None, MediaPacket], None]
"""Takes the sequence header of pictures (where there is one) and a key frame. Synchronous, and must not raise."""

Tap = Callable[[Sequence[MediaEvent]], None]
"""Takes every batch. Synchronous, and must not raise."""


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
    timestamp: int | None = field(default=None, init=False)
    """Of its newest frame."""
    jumps: int = field(default=0, init=False)
    jumped_at: float | None = field(default=None, init=False)
    """When last."""
    _jitter_ms: float = field(default=0.0, init=False)
    _key_frame: int | None = field(default=None, init=False)
    """The latest one's timestamp."""
    _key_frame_interval_ms: int | None = field(default=None, init=False)
    _marks: deque[tuple[float, int, int]] = field(factory=lambda: deque(maxlen=MARKS), init=False)
    """A time, and the bytes and frames that had come before it."""

    def count(self, size: int, frames: int, now: float, timestamp: int | None, jumps: int) -> None:
        """A batch has come, whose last frame has that timestamp."""
        if timestamp is not None:
            if self.timestamp is not None and not jumps:
                off = 1000 * (now - self._last_at) - (timestamp - self.timestamp) % CLOCK
                self._jitter_ms += ((off if off > 0 else -off) - self._jitter_ms) / JITTER_SHARE
            self.timestamp = timestamp
            if jumps:
                self.jumps += jumps
                self.jumped_at = now
        if not self._marks or now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, self._bytes, self._frames))
        self._bytes += size
        self._frames += frames
        self._last_at = now

    def restart(self) -> None:
        """Another source feeds it: no step to its first frame says anything."""
        self.timestamp = self._key_frame = None

    def describe(self, packet: MediaPacket) -> bool:
        """A sequence header, or the first frame of a codec: what it says of the track, where it can be read.

        Returns whether it says something else than what was known before.
        """
        before = self._changes
        self._take(packet)
        return self._changes != before

    def _take(self, packet: MediaPacket) -> None:
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

    @property
    def has_begun(self) -> bool:
        """Whether anything has come."""
        return bool(self._marks)

    @property
    def last_at(self) -> float:
        """When something came last."""
        return self._last_at

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
            jitter_ms=round(self._jitter_ms),
            jumps=self.jumps,
            configuration_changes=self._changes,
        )


def nobody_hears(_kind: Literal["video", "audio"]) -> None:
    """See `StreamMeter.on_change`."""


@define(eq=False)
class StreamMeter:
    """All media of one stream, whoever sends it."""

    bytes: int = field(default=0, init=False)
    """Of media, ever."""
    on_change: Callable[[Literal["video", "audio"]], None] = field(default=nobody_hears, init=False)
    """Hears of a kind of media that is described otherwise than before. Synchronous."""
    _header: MediaPacket | None = field(default=None, init=False)
    """What decoders need for the pictures, where it is not too large to be kept."""
    _show: Show | None = field(default=None, init=False)
    _taps: dict[object, Tap] = field(factory=dict, init=False)
    _video: TrackMeter = field(factory=lambda: TrackMeter("video"), init=False)
    _audio: TrackMeter = field(factory=lambda: TrackMeter("audio"), init=False)

    def note(self, events: Sequence[MediaEvent], now: float) -> int:  # noqa: PLR0912, PLR0915 (one loop, without a call)
        """A batch comes in; returns the bytes of its media. Bytes of headers count, frames are of the main track."""
        video, audio = self._video, self._audio
        total = video_bytes = audio_bytes = video_frames = video_jumps = audio_jumps = 0
        video_changed = audio_changed = False
        video_at, audio_at = video.timestamp, audio.timestamp
        video_codec, audio_codec = video.codec, audio.codec
        for event in events:
            if type(event) is not MediaPacket:
                continue
            data, kind = event.data, event.kind
            size = len(data)
            total += size
            if kind is VIDEO:
                video_bytes += size
                if event.is_sequence_header or (event.codec != video_codec and event.codec is not None):
                    video_changed |= video.describe(event)
                    video_codec = video.codec
                    self._note_header(event)
                    if event.is_sequence_header:
                        continue
                if not size or (data[0] & ENHANCED_WRAPPER == ENHANCED_WRAPPER and not is_of_main_track(event)):
                    continue
                video_frames += 1
                at = event.timestamp
                if video_at is not None and not 0 <= at - video_at <= LONGEST_STEP_MS:
                    video_jumps += (at - video_at) % CLOCK > LONGEST_STEP_MS
                video_at = at
                if event.is_key_frame:
                    video.key_frame(event)
                    if self._show is not None:
                        self._show_it(event)
            elif kind is AUDIO:
                audio_bytes += size
                if event.is_sequence_header or (event.codec != audio_codec and event.codec is not None):
                    audio_changed |= audio.describe(event)
                    audio_codec = audio.codec
                    if event.is_sequence_header:
                        continue
                if not size or (data[0] & ENHANCED_SOUND == ENHANCED_SOUND and not is_of_main_track(event)):
                    continue
                at = event.timestamp
                if audio_at is not None and not 0 <= at - audio_at <= LONGEST_STEP_MS:
                    audio_jumps += (at - audio_at) % CLOCK > LONGEST_STEP_MS
                audio_at = at
        if video_bytes:
            video.count(video_bytes, video_frames, now, video_at, video_jumps)
        if audio_bytes:
            audio.count(audio_bytes, 0, now, audio_at, audio_jumps)
        self.bytes += total
        if video_changed:
            self.on_change("video")
        if audio_changed:
            self.on_change("audio")
        if self._taps:
            for take in tuple(self._taps.values()):
                take(events)
        return total

    def restart(self) -> None:
        """Another source feeds the stream from now on."""
        self._video.restart()
        self._audio.restart()

    @property
    def last_at(self) -> float | None:
        """When media came last; `None` where none have."""
        return max((track.last_at for track in (self._video, self._audio) if track.has_begun), default=None)

    @property
    def jumped_at(self) -> float | None:
        """When a timestamp jumped last."""
        return max((at for at in (self._video.jumped_at, self._audio.jumped_at) if at is not None), default=None)

    @property
    def sound_offset_ms(self) -> int | None:
        """How far the newest sound is ahead of the newest picture."""
        picture, sound = self._video.timestamp, self._audio.timestamp
        if picture is None or sound is None:
            return None
        return (sound - picture + CLOCK // 2) % CLOCK - CLOCK // 2

    def show_next(self, show: Show) -> None:
        """Hand the next key frame to `show`, once; nobody else gets it then."""
        self._show = show

    def tap(self, take: Tap) -> Callable[[], None]:
        """Hand every batch to `take` from now on, until what is returned is called."""
        key = object()
        self._taps[key] = take

        def remove() -> None:
            self._taps.pop(key, None)

        return remove

    @property
    def header(self) -> MediaPacket | None:
        """What decoders need for the pictures, as it came last; `None` also where it was too large to be kept."""
        return self._header

    def _show_it(self, key_frame: MediaPacket) -> None:
        show, self._show = self._show, None
        if show is not None:
            show(self._header, key_frame)

    def _note_header(self, packet: MediaPacket) -> None:
        if not packet.is_sequence_header:  # a frame, of another codec than before
            self._header = None
        elif read_configuration(packet) is not None:
            self._header = packet if len(packet.data) <= MAX_KEPT_HEADER_BYTES else None

    def tracks(self, now: float) -> tuple[TrackView, ...]:
        """Those of which something has come."""
        views = (self._video.view(now), self._audio.view(now))
        return tuple(view for view in views if view is not None)
