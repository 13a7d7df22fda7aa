"""What a live stream was seen to be made of, so that a slate can be made of the same.

Sizes and rates come from the sequence headers and from the frames; what encoders say in their metadata only fills in,
as it is often wrong.  Pure.
"""

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from math import isfinite

from attrs import define, field, frozen

from mmids_trio.continuity.program import FeedMemory
from mmids_trio.media.configuration import AudioConfiguration, VideoConfiguration, read_configuration
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.timeline import MODULUS

FRAMES_SEEN = 30
"""Frames of video whose distances tell the frame rate: a second or so."""

LONGEST_STEP_MS = 1000
"""A longer way from one picture to the next is a gap."""

USUAL_SIZE, USUAL_FPS = (1280, 720), 25.0
USUAL_SAMPLE_RATE, USUAL_CHANNELS = 48_000, 2
LONGEST_SIDE, HIGHEST_FPS = 4096, 120
"""What metadata may say, which nothing confirms: pixels of a side, pictures a second."""

MOST_STEPS_A_SECOND = 1000
"""Timestamps are milliseconds."""

HIGHEST_SAMPLE_RATE, MOST_CHANNELS = 192_000, 8


@frozen
class VideoFormat:
    """`codec` as `MediaPacket` has it."""

    codec: str
    width: int
    height: int
    fps: float


@frozen
class AudioFormat:
    """`codec` as `MediaPacket` has it; `sample_rate` in Hz."""

    codec: str
    sample_rate: int
    channels: int


@frozen
class StreamFormat:
    """`None`: it has no such track."""

    video: VideoFormat | None
    audio: AudioFormat | None


@define
class FormatObserver:
    """Watches the frames of one stream."""

    memory: FeedMemory
    _codecs: dict[MediaKind, str] = field(factory=dict, init=False)
    _times: deque[int] = field(factory=lambda: deque(maxlen=FRAMES_SEEN + 1), init=False)
    _sounds: int = field(default=0, init=False)
    _video_header: bytes = field(default=b"", init=False)

    def note(self, packet: MediaPacket) -> None:
        """One frame or sequence header, in order; `memory` knows of it already."""
        if packet.codec is not None:
            self._codecs[packet.kind] = packet.codec
        if packet.is_sequence_header:
            self._note_header(packet)
        elif packet.kind is MediaKind.VIDEO:
            self._times.append(packet.timestamp)
        elif packet.kind is MediaKind.AUDIO:
            self._sounds += 1

    def _note_header(self, header: MediaPacket) -> None:
        """Another one than before is another encoder's, perhaps with another frame rate; many are only repeated."""
        if header.kind is MediaKind.VIDEO and header.data != self._video_header:
            self._video_header = header.data
            self._times.clear()

    @property
    def is_known(self) -> bool:
        """Whether enough was seen."""
        if self.memory.has_video:
            return len(self._times) > FRAMES_SEEN
        return self._sounds > FRAMES_SEEN

    def format(self) -> StreamFormat:
        """What was seen up to now."""
        values = self.memory.metadata.values if self.memory.metadata is not None else {}
        has_video, has_audio = MediaKind.VIDEO in self._codecs, MediaKind.AUDIO in self._codecs
        return StreamFormat(self._video(values) if has_video else None, self._audio(values) if has_audio else None)

    def _video(self, values: Mapping[str, object]) -> VideoFormat:
        codec = self._codecs[MediaKind.VIDEO]
        size = self._size()
        width = size[0] if size else round(_number(values, "width", LONGEST_SIDE) or USUAL_SIZE[0])
        height = size[1] if size else round(_number(values, "height", LONGEST_SIDE) or USUAL_SIZE[1])
        return VideoFormat(codec, width + width % 2, height + height % 2, self._fps(values))

    def _size(self) -> tuple[int, int] | None:
        """As the sequence header of the main track says."""
        for header in self.memory.headers.values():
            configuration = read_configuration(header)
            if isinstance(configuration, VideoConfiguration):
                return configuration.size
        return None

    def _fps(self, values: Mapping[str, object]) -> float:
        steps = [step for a, b in pairwise(self._times) if 0 < (step := (b - a) % MODULUS) < LONGEST_STEP_MS]
        said = _number(values, "framerate", HIGHEST_FPS)
        if not steps:
            return said or USUAL_FPS
        seen = 1000 * len(steps) / sum(steps)
        # Rounded, so that the jitter of timestamps does not make a format of its own at each look.
        return said if said and abs(said - seen) < seen / 20 else float(min(round(seen), MOST_STEPS_A_SECOND))

    def _audio(self, values: Mapping[str, object]) -> AudioFormat:
        codec = self._codecs[MediaKind.AUDIO]
        rate = round(_number(values, "audiosamplerate", HIGHEST_SAMPLE_RATE) or USUAL_SAMPLE_RATE)
        channels = round(_number(values, "audiochannels", MOST_CHANNELS) or USUAL_CHANNELS)
        for seen in map(read_configuration, self.memory.headers.values()):
            if isinstance(seen, AudioConfiguration) and seen.codec == codec:
                rate, channels = min(seen.sample_rate, HIGHEST_SAMPLE_RATE), min(seen.channels, MOST_CHANNELS)
        return AudioFormat(codec, rate, channels)


def _number(values: Mapping[str, object], name: str, highest: float) -> float | None:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return float(value) if 1 <= value <= highest else None
