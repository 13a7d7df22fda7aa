"""The headers of Enhanced RTMP v1 and v2, for video and audio alike, read as far as a forwarder needs.

They stand apart from the legacy headers because they nest: extensions before the packet type, tracks
behind it.  Reading is best effort and never raises: bytes that are missing leave defaults.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

_SEQUENCE_START, _CODED_FRAMES, _CODED_FRAMES_X, _TS_SEQUENCE_START = 0, 1, 3, 5
_DESCRIPTION = 4  # colours of video (Metadata), channels of audio (MultichannelConfig)
_COMMAND_FRAME = 5
_VIDEO_HEADERS = frozenset((_SEQUENCE_START, _TS_SEQUENCE_START, _DESCRIPTION))
_AUDIO_HEADERS = frozenset((_SEQUENCE_START, _DESCRIPTION))
_AUDIO_MULTITRACK = 5
_VIDEO_MULTITRACK = 6
_MOD_EX = 7
_RESERVED = 15  # stands in for a packet type that is not there
_MOST_EXTENSIONS = 16  # one is defined; bounds what a body made of nothing else costs
_LONG_SIZE = 256  # a size byte of 255, plus one: the size follows in 16 bits
_ONE_TRACK, _MANY_CODECS = 0, 2
_MAIN_TRACK = 0
_MAIN_TRACK_ALONE = bytes((_MAIN_TRACK,))
_MOST_TRACKS = 32  # of one packet; more than any encoder offers
_FOUR_CC = 4  # bytes

_SIZE_24 = 3  # bytes of a composition offset and of a track's size

_WITH_OFFSET: Final = frozenset(("avc1", "hvc1", "vvc1"))
_CODECS: Final = {
    name.encode(): name
    for name in (
        *("vp08", "vp09", "av01", "avc1", "hvc1", "vvc1"),
        *("ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"),
    )
}


class EnhancedHeader(NamedTuple):
    """What was found of the main track, number 0, or of the first one where a packet does not hold that.

    `track` is its number.
    """

    codec: str | None = None
    is_sequence_header: bool = False
    """Whether it is a sequence start, or the description that encoders send once behind it."""
    is_coded: bool = False
    """Whether the packet holds frames, not configuration or an end mark."""
    composition_offset: int = 0
    track: int = 0


def parse_enhanced_video(data: bytes) -> EnhancedHeader:
    """The header of a video tag body that is known to be enhanced (Enhanced RTMP v2, ExVideoTagHeader)."""
    packet_type, codec, track, position = _read_start(data, _VIDEO_MULTITRACK)
    if codec is None:
        return EnhancedHeader()
    is_command = (data[0] >> 4) & 0x07 == _COMMAND_FRAME  # which the descriptions of FFmpeg claim to be, too
    has_offset = packet_type == _CODED_FRAMES and codec in _WITH_OFFSET
    return EnhancedHeader(
        codec,
        packet_type == _DESCRIPTION or (packet_type in _VIDEO_HEADERS and not is_command),
        packet_type in (_CODED_FRAMES, _CODED_FRAMES_X),
        signed_24(data[position : position + _SIZE_24]) if has_offset else 0,
        track,
    )


def parse_enhanced_audio(data: bytes) -> EnhancedHeader:
    """The header of an audio tag body that is known to be enhanced (Enhanced RTMP v2, ExAudioTagHeader)."""
    packet_type, codec, track, _ = _read_start(data, _AUDIO_MULTITRACK)
    if codec is None:
        return EnhancedHeader()
    return EnhancedHeader(codec, packet_type in _AUDIO_HEADERS, packet_type == _CODED_FRAMES, 0, track)


class PayloadPlace(NamedTuple):
    """Where in a body the main track's payload lies, behind a composition offset."""

    start: int
    stop: int
    is_description: bool
    is_coded: bool


def locate_payload(data: bytes, *, is_video: bool) -> PayloadPlace | None:
    """The payload of track 0 in a body that is known to be enhanced; `None` where there is none."""
    packet_type, is_multitrack, position = _unwrap(data, _VIDEO_MULTITRACK if is_video else _AUDIO_MULTITRACK)
    stop = len(data)
    if not is_multitrack:
        codec, position = data[position : position + _FOUR_CC], position + _FOUR_CC
    else:
        found = next((track for track in _tracks(data, position) if track.number == _MAIN_TRACK), None)
        if found is None:
            return None
        codec, _, position, stop = found
    coded = (_CODED_FRAMES, _CODED_FRAMES_X) if is_video else (_CODED_FRAMES,)
    if is_video and packet_type == _CODED_FRAMES and _CODECS.get(codec) in _WITH_OFFSET:
        position += _SIZE_24
    return PayloadPlace(position, max(position, stop), packet_type == _DESCRIPTION, packet_type in coded)


class TracksWithin(NamedTuple):
    """What a body is about: the numbers of its tracks, and whether it describes them (colours, channels)."""

    numbers: bytes
    is_description: bool


def tracks_within(data: bytes, *, is_video: bool) -> TracksWithin:
    """The tracks of a body that is known to be enhanced; without multitrack header, the main one."""
    packet_type, is_multitrack, position = _unwrap(data, _VIDEO_MULTITRACK if is_video else _AUDIO_MULTITRACK)
    numbers = bytes(track.number for track in _tracks(data, position)) if is_multitrack else _MAIN_TRACK_ALONE
    return TracksWithin(numbers, packet_type == _DESCRIPTION)


class _Track(NamedTuple):
    four_cc: bytes
    number: int
    start: int
    stop: int


def _tracks(data: bytes, position: int) -> Iterator[_Track]:
    """The tracks of a multitrack body, whose multitrack header stands before `position`, as far as they are there."""
    kind = data[position - 1] >> 4
    four_cc, position = data[position : position + _FOUR_CC], position + _FOUR_CC
    for _ in range(_MOST_TRACKS):
        if position >= len(data):
            return
        number, position = data[position], position + 1
        if kind == _ONE_TRACK:
            yield _Track(four_cc, number, position, len(data))
            return
        size, position = int.from_bytes(data[position : position + _SIZE_24], "big"), position + _SIZE_24
        yield _Track(four_cc, number, position, min(position + size, len(data)))
        position += size
        if kind == _MANY_CODECS:
            four_cc, position = data[position : position + _FOUR_CC], position + _FOUR_CC


def _read_start(data: bytes, multitrack: int) -> tuple[int, str | None, int, int]:
    """Packet type, codec and track of what counts in the body, and the position where that begins.

    `multitrack` is the packet type that says that tracks follow; audio and video number it differently.
    """
    packet_type, is_multitrack, position = _unwrap(data, multitrack)
    if not is_multitrack:
        return packet_type, _codec(data[position : position + _FOUR_CC]), _MAIN_TRACK, position + _FOUR_CC
    tracks = list(_tracks(data, position))
    if not tracks:
        return packet_type, _codec(data[position : position + _FOUR_CC]), _MAIN_TRACK, len(data)
    counts = next((track for track in tracks if track.number == _MAIN_TRACK), tracks[0])
    return packet_type, _codec(counts.four_cc), counts.number, counts.start


def _unwrap(data: bytes, multitrack: int) -> tuple[int, bool, int]:
    """Packet type behind extensions and multitrack header, whether there is one, and the position behind them."""
    packet_type, position = data[0] & 0x0F, 1
    if packet_type == _MOD_EX:
        packet_type, position = _skip_extensions(data)
    if packet_type != multitrack:
        return packet_type, False, position
    if position >= len(data):
        return _RESERVED, True, len(data)
    return data[position] & 0x0F, True, position + 1


def _skip_extensions(data: bytes) -> tuple[int, int]:
    """The packet type behind the ModEx prefixes, and the position after it."""
    packet_type, position = _MOD_EX, 1
    for _ in range(_MOST_EXTENSIONS):
        size = data[position] + 1 if position < len(data) else 1
        position += 1
        if size == _LONG_SIZE:
            size = int.from_bytes(data[position : position + 2], "big") + 1
            position += 2
        position += size
        packet_type = data[position] & 0x0F if position < len(data) else _RESERVED
        position += 1
        if packet_type != _MOD_EX:
            break
    return packet_type, position


def _codec(four_cc: bytes) -> str | None:
    """The name for a FourCC, also for one that nobody has heard of; `None` if it cannot be one."""
    known = _CODECS.get(four_cc)
    if known is not None:
        return known
    name = four_cc.decode("latin-1")
    return name if len(name) == _FOUR_CC and name.isascii() and name.isprintable() else None


def signed_24(data: bytes) -> int:
    """A signed 24-bit number, 0 where bytes are missing."""
    return int.from_bytes(data, "big", signed=True) if len(data) == _SIZE_24 else 0
