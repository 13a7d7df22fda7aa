"""What lies behind the header of an FLV tag body: the bytes that a decoder, or another container, wants.

Only the main track's: a packet of another track has no payload here, and of several tracks in one packet the one with
number 0 counts (Enhanced RTMP v2, Multitrack).
"""

from typing import NamedTuple

from mmids_trio.media.enhanced import locate_payload
from mmids_trio.media.events import MediaKind, MediaPacket

_ENHANCED_VIDEO_BIT, _ENHANCED_AUDIO = 0x80, 9
_VIDEO_WITH_PACKET_TYPE, _AAC = (7, 12), 10
_FRAMES = 1  # AVC and AAC packet type


class Payload(NamedTuple):
    """The bytes, and whether they only describe (colours, channels) what the decoder configuration has set up."""

    data: bytes
    is_description: bool = False
    is_frame: bool = True
    """Whether these are coded frames, not configuration or an end mark."""


def payload_of(packet: MediaPacket) -> Payload | None:
    """The payload of the main track; `None` where the packet has none."""
    if len(packet.data) < 2:  # noqa: PLR2004  (the shortest header of a coded frame)
        return None
    match packet.kind:
        case MediaKind.VIDEO:
            return _video(packet.data)
        case MediaKind.AUDIO:
            return _audio(packet.data)
        case _:
            return None


def _video(data: bytes) -> Payload | None:
    """FLV 10.1 §E.4.3.1, and Enhanced RTMP."""
    if data[0] & _ENHANCED_VIDEO_BIT:
        return _enhanced(data, is_video=True)
    if data[0] & 15 in _VIDEO_WITH_PACKET_TYPE:
        return Payload(data[5:], is_frame=data[1] == _FRAMES)
    return Payload(data[1:])


def _audio(data: bytes) -> Payload | None:
    """FLV 10.1 §E.4.2.1, and Enhanced RTMP."""
    sound_format = data[0] >> 4
    if sound_format == _ENHANCED_AUDIO:
        return _enhanced(data, is_video=False)
    if sound_format == _AAC:
        return Payload(data[2:], is_frame=data[1] == _FRAMES)
    return Payload(data[1:])


def _enhanced(data: bytes, *, is_video: bool) -> Payload | None:
    place = locate_payload(data, is_video=is_video)
    if place is None:
        return None
    return Payload(data[place.start : place.stop], place.is_description, place.is_coded)
