"""From the packets of one stream to init segments, parts and segments: where each begins and ends is decided here.

How a packet becomes part of a fragment:

- FLV's timestamps are milliseconds.  Pictures keep them.  Sound goes back on its own clock, which counts samples: a
  frame follows the one before it, unless its timestamp is more than `SNAP_MS` away from that place.
- How long a frame lasts is known when the next one of its track comes, so the last one of each track is held back.
- A *segment* begins with the first key frame near or behind each multiple of the target on the output clock, so that
  renditions of one stream, which share that clock, are cut alike; without pictures, with any frame of sound.
- A *part* ends before it would be longer than the part target, which is a whole number of frames (RFC 8216bis §4.4.3.7
  wants parts of at least 85 % of it, and none longer).
- Tracks are those that were seen before the first segment.  One that comes later, another decoder configuration and
  a jump of the clock begin a new *chapter*: an init segment of its own, after which a playlist says DISCONTINUITY.

Decoding times grow over all chapters, so that nobody who counts from them goes backwards.
"""

from collections.abc import Callable, Iterator, Sequence
from math import floor
from statistics import median

from attrs import Factory, define, field, frozen

from mmids_trio.media.configuration import (
    AudioConfiguration,
    Configuration,
    VideoConfiguration,
    is_configured_by_frames,
    read_configuration,
)
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.fmp4.fragments import FIELDS, NOT_SYNC, SYNC, UNSIGNED, TrackRun, fragment
from mmids_trio.media.fmp4.init import UNKNOWN_SIZE, VIDEO_TIMESCALE, Track, init_segment
from mmids_trio.media.opus import opus_samples
from mmids_trio.media.payload import payload_of

SNAP_MS = 50
"""How far a frame of sound may be from its place on the sample clock: FLV's rounding and an encoder's jitter."""

JUMP_MS = 10_000
"""A frame that is further than this from the one before it belongs to another clock."""

WAIT_FOR_TRACK_MS = 1_000
"""How long the first segment waits for a track whose configuration is known but not its frames, or the reverse."""

SILENT_MS, SILENT_FRAMES = 2_000, 3
"""For so long, and for so many times the length of a frame, pictures may not come before sound goes on without them."""

LEAD_MS = 100
"""How long before the first picture sound may begin: encoders of sound start earlier, by a frame or two."""

EARLY = 0.25
"""Part of the target by which a key frame may come before the multiple that it begins a segment at."""

LONGEST_SEGMENT = 8
"""Times the target: a group of pictures that does not end is cut at any frame then, so that memory stays bounded."""

_MODULUS, _HALF = 1 << 32, 1 << 31
_VIDEO_ID, _AUDIO_ID = 1, 2


@frozen
class Chapter:
    """What follows needs another init segment. `tracks` says what is in it."""

    init: bytes
    tracks: tuple[Track, ...]


@frozen
class MediaPart:
    """One fragment. Times in milliseconds on the stream's output clock."""

    data: bytes
    start_ms: float
    duration_ms: float
    is_independent: bool
    """Whether it begins with a frame that depends on no other."""
    opens_segment: bool
    """Whether it is the first of its segment."""


@frozen
class SegmentEnd:
    """The parts since the last one are a whole segment."""

    duration_ms: float


Output = Chapter | MediaPart | SegmentEnd


_Held = tuple[bytes, int, int, bool]
"""A frame that waits for its successor: data, decoding time and offset in ticks, and whether it is a sync sample."""

_AVC, _AAC = (0x8F, 0x07, 5), (0xF0, 0xA0, 2)
"""Of frames of AVC and AAC, which are most: mask and value of the first byte, and the size of the header."""

_FRAMES = 1
"""The second byte of such, where it is no configuration."""


@define(eq=False)
class _TrackBuilder:
    """One track of the current chapter. `leads`: whether it decides where parts end."""

    track: Track
    leads: bool
    timescale: int = field(init=False)
    frame_samples: int = field(default=0, init=False)
    """0 where frames may have any length."""
    is_opus: bool = field(default=False, init=False)
    plain: tuple[int, int, int] = field(default=_AVC, init=False)
    """See `_AVC`."""
    codec: str = field(default="", init=False)
    """Of frames that need no look at their configuration; nothing where each frame says it anew."""
    held: _Held | None = None
    start: int = 0
    fields: list[int] = Factory(list)
    """Of the samples of the part; see `TrackRun`."""
    data: list[bytes] = Factory(list)
    usual_duration: int = 0
    """Of the last sample, in ticks."""

    def __attrs_post_init__(self) -> None:
        found = self.track.configuration
        self.timescale = self.track.timescale
        if not is_configured_by_frames(found.codec):
            self.codec = found.codec
        if isinstance(found, AudioConfiguration):
            self.frame_samples, self.is_opus, self.plain = found.frame_samples, found.codec == "Opus", _AAC

    def ms(self, ticks: int) -> float:
        return ticks * 1000 / self.timescale

    def ticks(self, ms: float) -> int:
        return round(ms * self.timescale / 1000)

    def place(self, ms: int) -> int:
        """The decoding time of the next frame, in ticks: never before that of the one in front of it."""
        held = self.held
        ticks = ms if self.timescale == VIDEO_TIMESCALE else (ms * self.timescale + 500) // 1000
        if held is None:
            return max(ticks, 0)
        samples = self.frame_samples or (opus_samples(held[0]) if self.is_opus else 0)
        if samples:
            expected = held[1] + samples
            if ticks < expected or ticks - expected <= SNAP_MS * self.timescale // 1000:
                return expected
        return ticks if ticks > held[1] else held[1]

    def hold(self, frame: _Held) -> None:
        """Put the frame that was held into the part, now that its end is known, and hold `frame`."""
        held, self.held = self.held, frame
        if held is not None:
            data, time, offset, is_sync = held
            if not self.fields:
                self.start = time
            duration = self.usual_duration = frame[1] - time
            self.fields += (duration, len(data), SYNC if is_sync else NOT_SYNC, offset & UNSIGNED)
            self.data.append(data)

    def flush(self) -> None:
        """The frame that is held has no successor."""
        if self.held is not None:
            self.hold((b"", self.held[1] + (self.usual_duration or self.ticks(40)), 0, False))
            self.held = None

    def take(self) -> TrackRun | None:
        """All samples of the part."""
        if not self.fields:
            return None
        fields, data, self.fields, self.data = self.fields, self.data, [], []
        return TrackRun(self.track.track_id, self.start, fields, data)

    @property
    def end_ms(self) -> float:
        """Where the samples end."""
        return self.ms(self.start + sum(self.fields[::FIELDS]))


@define(eq=False)
class Fragmenter:
    """Makes fragmented MP4 of one stream. `segment_ms` and `part_ms` are what is aimed at; `part_target_ms` is what
    parts really keep to, once it is known."""

    segment_ms: float = 2_000
    part_ms: float = 200
    clock: Callable[[int], float | None] | None = None
    """Where on the output clock a timestamp of the stream is to be, for a rendition of one whose clock is known."""
    part_target_ms: float | None = field(default=None, init=False)
    _configurations: dict[MediaKind, Configuration] = field(factory=dict, init=False)
    _sizes: tuple[int, int] = field(default=UNKNOWN_SIZE, init=False)
    """What metadata say."""
    _waiting: list[MediaPacket] = field(factory=list, init=False)
    """Frames before the first chapter."""
    _builders: dict[MediaKind, _TrackBuilder] = field(factory=dict, init=False)
    _sequence_number: int = field(default=0, init=False)
    _offset_ms: int | None = field(default=None, init=False)
    """From the stream's clock to the output's; `None` where the next frame decides."""
    _newest_ms: float = field(default=0, init=False)
    """The end of what was put out."""
    _last_ms: int = field(default=0, init=False)
    """The last timestamp of the stream, without wraps."""
    _segment_start: float = field(default=0, init=False)
    _part_start: float = field(default=0, init=False)
    _is_incomplete: bool = field(default=False, init=False)
    """Whether frames come of a track that the chapter has not got: the next key frame begins another one."""
    _frame_ms: float = field(default=0, init=False)
    """How long a frame of the leading track usually lasts, when that was looked at."""
    _opens_segment: bool = field(default=True, init=False)
    _full_ms: float = field(default=0, init=False)
    """A part that would be longer than this may end: the part target and rounding, 0 while that is not known."""

    def place_of(self, timestamp: int) -> float | None:
        """Where on the output clock a timestamp of the stream is; `None` where that is not known (yet)."""
        if self._offset_ms is None:
            return None
        return self._last_ms + _distance(self._last_ms % _MODULUS, timestamp) + self._offset_ms

    @property
    def frame_rate(self) -> float | None:
        """Pictures a second, from how long frames last; `None` where that is not known."""
        builder = self._builders.get(MediaKind.VIDEO)
        return None if builder is None or not self._frame_ms else 1000 / self._frame_ms

    def metadata(self, width: int, height: int) -> None:
        """The size that the stream says its pictures have; counts where the configuration does not tell."""
        self._sizes = (width, height)

    def packet(self, packet: MediaPacket) -> Sequence[Output]:
        """One packet of the stream, in order."""
        builder = self._builders.get(packet.kind)
        if builder is None or packet.is_sequence_header or packet.codec != builder.codec:
            return tuple(self._take(packet))
        data = packet.data
        mask, value, size = builder.plain
        if len(data) > size and data[0] & mask == value and data[1] == _FRAMES:
            return self._frame(builder, packet, data[size:])
        payload = payload_of(packet)
        if payload is None or not payload.is_frame or not payload.data:
            return ()
        return self._frame(builder, packet, payload.data)

    def _take(self, packet: MediaPacket) -> Iterator[Output]:
        """What is no frame of a track that is there already, or may change it."""
        if packet.kind is MediaKind.OTHER:
            return
        if packet.is_sequence_header or is_configured_by_frames(packet.codec):
            yield from self._configure(packet)
        payload = None if packet.is_sequence_header else payload_of(packet)
        if payload is None or not payload.is_frame or not payload.data:
            return
        builder = self._builders.get(packet.kind)
        if builder is not None:
            yield from self._frame(builder, packet, payload.data)
        elif not self._builders:
            yield from self._prepare(packet)
        else:
            self._is_incomplete |= packet.kind in self._configurations
            if self._is_incomplete and packet.is_key_frame:
                yield from self._begin_anew(packet)

    def end(self) -> Iterator[Output]:
        """The stream is over, or goes on elsewhere: put out what is held. Another packet begins a new chapter."""
        if not self._builders and self._waiting:
            yield from self._begin_chapter()
        yield from self._close_chapter()
        self._configurations.clear()
        self._waiting.clear()

    # Chapters.

    def _configure(self, packet: MediaPacket) -> Iterator[Output]:
        found = read_configuration(packet)
        if found is None or self._is_known(found, packet.kind):
            return
        yield from self._close_chapter()
        self._configurations[packet.kind] = found

    def _is_known(self, found: Configuration, kind: MediaKind) -> bool:
        """Whether it is the one in force; frames of MP3 and AC-3 say it again and again."""
        return self._configurations.get(kind) == found

    def _prepare(self, packet: MediaPacket) -> Iterator[Output]:
        """A frame before the chapter begins: with a key frame, and with all tracks that come in time."""
        waiting = self._waiting
        if packet.kind not in self._configurations or (
            packet.kind is MediaKind.VIDEO and not packet.is_key_frame and not self._has_waiting_picture
        ):
            return
        waiting.append(packet)
        kinds = {frame.kind for frame in waiting}
        waited = _distance(waiting[0].timestamp, packet.timestamp)
        if kinds == set(MediaKind) - {MediaKind.OTHER} or abs(waited) >= WAIT_FOR_TRACK_MS:
            yield from self._begin_chapter()

    @property
    def _has_waiting_picture(self) -> bool:
        return any(frame.kind is MediaKind.VIDEO for frame in self._waiting)

    def _begin_chapter(self) -> Iterator[Output]:
        waiting, self._waiting = self._waiting, []
        kinds = [kind for kind in (MediaKind.VIDEO, MediaKind.AUDIO) if any(frame.kind is kind for frame in waiting)]
        if MediaKind.VIDEO in kinds:
            # Sound long before the first picture would make the segment begin without one.
            first = next(frame.timestamp for frame in waiting if frame.kind is MediaKind.VIDEO)
            waiting = [frame for frame in waiting if _distance(first, frame.timestamp) >= -LEAD_MS]
        self._builders = {kind: _TrackBuilder(self._track(kind), kind is kinds[0]) for kind in kinds}
        self._offset_ms = None
        self._segment_start = self._part_start = self._newest_ms
        self._opens_segment, self._is_incomplete = True, False
        tracks = tuple(builder.track for builder in self._builders.values())
        yield Chapter(init_segment(tracks), tracks)
        for packet in waiting:
            payload = payload_of(packet)
            assert payload is not None
            if (builder := self._builders.get(packet.kind)) is not None:
                yield from self._frame(builder, packet, payload.data)

    def _track(self, kind: MediaKind) -> Track:
        found = self._configurations[kind]
        if isinstance(found, VideoConfiguration):
            return Track(_VIDEO_ID, found, found.size or self._sizes)
        return Track(_AUDIO_ID, found)

    def _close_chapter(self) -> Iterator[Output]:
        if not self._builders:
            return
        for builder in self._builders.values():
            builder.flush()
        yield from self._close_part(self._end_of_samples())
        yield from self._close_segment()
        self._builders = {}

    # Frames.

    def _frame(self, builder: _TrackBuilder, packet: MediaPacket, data: bytes) -> Sequence[Output]:
        """A frame of a track that is there: no call that is not for it, as all packets come here."""
        timestamp, offset_ms = packet.timestamp, self._offset_ms
        step = (timestamp - self._last_ms) % _MODULUS
        if step >= _HALF:
            step -= _MODULUS
        if offset_ms is None:
            self._last_ms, step = timestamp, 0
            offset_ms = self._offset_ms = self._begin_clock(timestamp)
        elif not -JUMP_MS <= step <= JUMP_MS or (self._is_incomplete and packet.is_key_frame):
            return tuple(self._begin_anew(packet))
        self._last_ms += step
        ms = self._last_ms + offset_ms
        held = builder.held
        if builder.plain is _AVC and held is not None and ms > held[1]:  # pictures, which count in milliseconds
            time, offset, is_sync = ms, packet.composition_offset, packet.is_key_frame
        else:
            time, offset, is_sync = builder.place(ms), packet.composition_offset, packet.is_key_frame
            if builder.plain is not _AVC:
                offset, is_sync = 0, True
        builder.hold((data, time, offset, is_sync))
        if builder.leads:
            now = time * 1000 / builder.timescale
            if (
                is_sync
                or now - self._part_start + builder.usual_duration * 1000 / builder.timescale > self._full_ms
                or now - self._segment_start >= LONGEST_SEGMENT * self.segment_ms
            ):
                return tuple(self._cut(builder, now, is_sync))
        elif self._lacks_pictures(ms):
            return tuple(self._go_on_without_pictures())
        return ()

    def _lacks_pictures(self, now: float) -> bool:
        """Whether pictures have stopped coming while sound goes on: no part would end any more."""
        held = self._builders[MediaKind.VIDEO].held
        if held is None or now - held[1] <= SILENT_MS:  # ticks of pictures are milliseconds
            return False
        return now - held[1] > SILENT_FRAMES * self._builders[MediaKind.VIDEO].usual_duration

    def _go_on_without_pictures(self) -> Iterator[Output]:
        """What follows is sound alone, until a key frame comes."""
        configurations = dict(self._configurations)
        yield from self._close_chapter()
        self._configurations = configurations
        self._waiting.clear()

    def _begin_clock(self, timestamp: int) -> int:
        """The offset to the output clock of a chapter that begins at `timestamp`."""
        wanted = None if self.clock is None else self.clock(timestamp)
        if wanted is not None and wanted >= self._newest_ms:
            self._segment_start = self._part_start = self._newest_ms = wanted
        return round(self._newest_ms) - timestamp

    def _slot(self, ms: float) -> int:
        """Which multiple of the target a segment that begins there belongs to."""
        return floor(ms / self.segment_ms + EARLY)

    def _begin_anew(self, packet: MediaPacket) -> Iterator[Output]:
        configurations = dict(self._configurations)
        yield from self._close_chapter()
        self._configurations = configurations
        yield from self._prepare(packet)

    def _cut(self, builder: _TrackBuilder, now: float, is_sync: bool) -> Iterator[Output]:
        """The frame at `now` is held; everything before it is in the part. Decide whether part and segment end here."""
        if now <= self._part_start:
            return
        is_due = is_sync and self._slot(now) > self._slot(self._segment_start)
        if is_due or now - self._segment_start >= LONGEST_SEGMENT * self.segment_ms:
            yield from self._close_part(now)
            yield from self._close_segment()
            self._segment_start = now
        elif now - self._part_start + builder.ms(builder.usual_duration) > self._target(builder) + 1:
            yield from self._close_part(now)

    def _target(self, builder: _TrackBuilder) -> float:
        """The part target: as many whole frames as come nearest to what was asked for; decided once."""
        if self.part_target_ms is None:
            durations = [builder.ms(duration) for duration in builder.fields[::FIELDS] if duration]
            if sum(durations) < min(self.part_ms, 100):
                return self.part_ms
            usual = median(durations)
            mean = sum(durations) / len(durations)
            frame = mean if abs(mean - usual) < 2 else usual  # noqa: PLR2004  (rounding to milliseconds)
            self._frame_ms = frame
            self.part_target_ms = max(1, round(self.part_ms / frame)) * frame
            self._full_ms = self.part_target_ms + 1
        return self.part_target_ms

    def _close_part(self, end_ms: float) -> Iterator[Output]:
        is_independent = self._begins_independently()
        runs = [run for builder in self._builders.values() if (run := builder.take()) is not None]
        if not runs:
            return
        self._sequence_number += 1
        data = fragment(self._sequence_number, runs)
        start, self._part_start = self._part_start, end_ms
        self._newest_ms = max(self._newest_ms, end_ms)
        yield MediaPart(data, start, end_ms - start, is_independent, self._opens_segment)
        self._opens_segment = False

    def _begins_independently(self) -> bool:
        leader = self._builders.get(MediaKind.VIDEO) or self._builders[MediaKind.AUDIO]
        return leader.fields[2:3] == [SYNC]

    def _close_segment(self) -> Iterator[Output]:
        if not self._opens_segment:
            yield SegmentEnd(self._part_start - self._segment_start)
        self._segment_start, self._opens_segment = self._part_start, True

    def _end_of_samples(self) -> float:
        """Where the tracks end that were flushed: the leading one decides."""
        leader = self._builders.get(MediaKind.VIDEO) or self._builders[MediaKind.AUDIO]
        if not leader.fields:
            return self._part_start
        ends = [builder.end_ms for builder in self._builders.values() if builder.fields]
        self._newest_ms = max(self._newest_ms, *ends)
        return leader.end_ms


def _distance(before: int, after: int) -> int:
    """From one timestamp to another, the shorter way round (RTMP 1.0 §5.3.1.2)."""
    step = (after - before) % _MODULUS
    return step - _MODULUS if step >= _HALF else step
