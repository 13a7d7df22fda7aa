"""Init segments: what a decoder must know of the tracks before their first fragment."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from mmids_trio.media.configuration import AudioConfiguration, Configuration, VideoConfiguration
from mmids_trio.media.fmp4.boxes import (
    TWO,
    box,
    file_type,
    full_box,
    handler,
    media_header,
    media_information,
    movie_header,
    number,
    track_defaults,
    track_header,
)

VIDEO_TIMESCALE = 1000
"""Ticks a second of a video track: timestamps of RTMP and FLV are milliseconds."""

UNKNOWN_SIZE = (0, 0)
"""What an init segment says of pictures whose size only the frames tell (VP9)."""

_VIDEO_ENTRIES: Final = {"avc1": b"avcC", "hvc1": b"hvcC", "av01": b"av1C", "vp09": b"vpcC"}
_AUDIO_BOXES: Final = {"Opus": b"dOps", "ac-3": b"dac3", "ec-3": b"dec3"}
_MPEG4_AUDIO, _MPEG1_AUDIO, _MPEG2_AUDIO = 0x40, 0x6B, 0x69
_MPEG1_LOWEST_RATE = 32_000

CARRIED: Final = frozenset((*_VIDEO_ENTRIES, "mp4a", ".mp3", "fLaC", *_AUDIO_BOXES))
"""Codecs, as `MediaPacket` has them, that this module writes a sample entry for."""


@frozen
class Track:
    """One track of an init segment and of its fragments. `configuration` says what is in it."""

    track_id: int
    configuration: Configuration
    size: tuple[int, int] = UNKNOWN_SIZE
    """Of pictures, in pixels."""

    @property
    def is_audio(self) -> bool:
        """Whether it is sound."""
        return isinstance(self.configuration, AudioConfiguration)

    @property
    def timescale(self) -> int:
        """Ticks a second: of sound the samples, of pictures milliseconds."""
        found = self.configuration
        return found.sample_rate if isinstance(found, AudioConfiguration) else VIDEO_TIMESCALE


def init_segment(tracks: Sequence[Track]) -> bytes:
    """`ftyp` and `moov` of a presentation with these tracks (ISO/IEC 14496-12 §8.2)."""
    defaults = box(b"mvex", *(track_defaults(track.track_id) for track in tracks))
    return file_type() + box(b"moov", movie_header(len(tracks)), *map(_track, tracks), defaults)


def _track(track: Track) -> bytes:
    is_audio = track.is_audio
    return box(
        b"trak",
        track_header(track.track_id, is_audio=is_audio, size=track.size),
        box(
            b"mdia",
            media_header(track.timescale),
            handler(is_audio=is_audio),
            media_information(_sample_entry(track), is_audio=is_audio),
        ),
    )


def _sample_entry(track: Track) -> bytes:
    found = track.configuration
    return _video_entry(found, track.size) if isinstance(found, VideoConfiguration) else _audio_entry(found)


def _video_entry(found: VideoConfiguration, size: tuple[int, int]) -> bytes:
    """VisualSampleEntry (§12.1.3) and the codec's own box."""
    width, height = size
    name = _VIDEO_ENTRIES[found.codec]
    record = full_box(name, 1, 0, found.record) if name == b"vpcC" else box(name, found.record)
    return box(
        found.codec.encode(),
        *(bytes(6), b"\0\1", bytes(16), TWO.pack(width), TWO.pack(height)),
        *(number(0x480000), number(0x480000), bytes(4), b"\0\1", bytes(32), b"\0\x18", b"\xff\xff"),
        record,
    )


def _audio_entry(found: AudioConfiguration) -> bytes:
    """AudioSampleEntry (§12.2.3) and the codec's own box."""
    rate = found.sample_rate if found.sample_rate < 1 << 16 else 0
    name, record = _audio_record(found)
    return box(
        name,
        *(bytes(6), b"\0\1", bytes(8), TWO.pack(found.channels), b"\0\x10", bytes(4), number(rate << 16)),
        record,
    )


def _audio_record(found: AudioConfiguration) -> tuple[bytes, bytes]:
    """The sample entry's name, and the box inside."""
    if found.codec == "fLaC":
        return b"fLaC", full_box(b"dfLa", 0, 0, found.record)
    if found.codec in _AUDIO_BOXES:
        return found.codec.encode(), box(_AUDIO_BOXES[found.codec], found.record)
    if found.codec == "mp4a":
        return b"mp4a", _esds(_MPEG4_AUDIO, found.record)
    return b"mp4a", _esds(_MPEG1_AUDIO if found.sample_rate >= _MPEG1_LOWEST_RATE else _MPEG2_AUDIO, b"")


def _esds(object_type: int, specific: bytes) -> bytes:
    """`esds` (ISO/IEC 14496-14 §5.6, 14496-1 §7.2.6.5)."""
    info = _descriptor(5, specific) if specific else b""
    config = _descriptor(4, bytes((object_type, 0x15)) + bytes(11) + info)
    return full_box(b"esds", 0, 0, _descriptor(3, b"\0\1\0" + config + _descriptor(6, b"\2")))


def _descriptor(tag: int, content: bytes) -> bytes:
    """A descriptor with its length in as many bytes as it takes (ISO/IEC 14496-1 §8.3.3)."""
    size, length = len(content), b""
    while True:
        length = bytes((size & 127 | (128 if length else 0),)) + length
        size >>= 7
        if not size:
            return bytes((tag,)) + length + content
