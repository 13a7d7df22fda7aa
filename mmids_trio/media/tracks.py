"""Which track of a stream a packet belongs to, for all who remember one sequence header a track."""

from typing import NamedTuple

from mmids_trio.media.enhanced import tracks_within
from mmids_trio.media.events import MediaKind, MediaPacket


class TrackKey(NamedTuple):
    """What a sequence header, or a description of its tracks, is about."""

    kind: MediaKind
    tracks: bytes
    """Their numbers: of the main track alone, if the packet says nothing of tracks."""
    is_description: bool = False
    """Whether it is about colours (video) or channels (audio), which stand beside a track's sequence header."""


MAX_TRACKS = 32
"""Tracks of one stream whose sequence headers are kept: 16 of video and 16 of audio, more than any encoder offers."""

MAX_HEADER_BYTES = 256 * 1024
"""One remembered sequence header. Those of H.264 and AAC have tens of bytes; this leaves room for odd ones."""

MAX_HEADERS_BYTES = 1024 * 1024
"""All remembered sequence headers of one stream, as much as its metadata: each watcher that joins may be sent it."""

MAIN_TRACK = 0
"""The number of what a packet is that says nothing of tracks (Enhanced RTMP v2, Multitrack)."""

_ONLY_MAIN = bytes((MAIN_TRACK,))

_ENHANCED = {MediaKind.VIDEO: (0x80, 0x80), MediaKind.AUDIO: (0xF0, 0x90)}
"""Mask and value of the first byte of a packet of Enhanced RTMP."""

_WRAPPED = {MediaKind.VIDEO: (6, 7), MediaKind.AUDIO: (5, 7)}
"""Packet types of Enhanced RTMP in which tracks may hide: multitrack itself, and ModEx before it."""


def track_of(packet: MediaPacket) -> TrackKey:
    """Which tracks a sequence header or a description is about, in whatever it is wrapped."""
    mask, value = _ENHANCED.get(packet.kind, (0, 1))
    if not packet.data or packet.data[0] & mask != value:
        return TrackKey(packet.kind, _ONLY_MAIN)
    return TrackKey(packet.kind, *tracks_within(packet.data, is_video=packet.kind is MediaKind.VIDEO))


def is_of_main_track(packet: MediaPacket) -> bool:
    """Whether a packet has the track that everybody plays, not those beside it alone."""
    wrapped = _WRAPPED.get(packet.kind)
    if wrapped is None or not packet.data or packet.data[0] & 0x0F not in wrapped:
        return True
    return MAIN_TRACK in track_of(packet).tracks


def forget_other_codecs(headers: dict[TrackKey, MediaPacket], packet: MediaPacket) -> bool:
    """Forget headers of the main track that are of another codec than `packet`, whose codec may need none.

    Whether there were some.
    """
    old = [
        key
        for key, header in headers.items()
        if key.kind is packet.kind and key.tracks == _ONLY_MAIN and header.codec != packet.codec
    ]
    for key in old:
        del headers[key]
    return bool(old)


def remember_header(headers: dict[TrackKey, MediaPacket], packet: MediaPacket) -> bool:
    """Keep a sequence header in place of its tracks' last ones; whether the limits above allow that.

    Where they do not, the last ones go all the same: they no longer describe the frames that follow.  For the same
    reason a new sequence header takes the descriptions behind its predecessor away.  What is about some of its tracks
    and others stays, in front of it: a decoder takes what comes last.
    """
    key = track_of(packet)
    known = headers.get(key)
    is_new = known is None or known.data != packet.data
    overlaps = False
    for other in list(headers):
        if other == key or other.kind is not key.kind or not set(other.tracks) & set(key.tracks):
            continue
        is_of_a_kind = other.is_description is key.is_description
        is_covered = set(other.tracks) <= set(key.tracks)
        if is_covered and (is_of_a_kind or (other.is_description and is_new)):
            del headers[other]
        elif is_of_a_kind:
            overlaps = True
    size = len(packet.data)
    others = sum(len(header.data) for track, header in headers.items() if track != key)
    fits = size <= MAX_HEADER_BYTES and others + size <= MAX_HEADERS_BYTES
    if fits and (key in headers or len(headers) < MAX_TRACKS):
        if overlaps:
            headers.pop(key, None)
        headers[key] = packet
        return True
    headers.pop(key, None)
    return False
