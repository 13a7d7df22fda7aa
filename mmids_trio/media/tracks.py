"""Which track of a stream a packet belongs to, for all who remember one sequence header a track."""

from collections.abc import Mapping

from mmids_trio.media.events import MediaKind, MediaPacket

TrackKey = tuple[MediaKind, bytes]
"""A kind of media; for multitrack packets FourCC and track id, else nothing; for descriptions a mark behind that."""

MAX_TRACKS = 32
"""Tracks of one stream whose sequence headers are kept: 16 of video and 16 of audio, more than any encoder offers."""

MAX_HEADER_BYTES = 256 * 1024
"""One remembered sequence header. Those of H.264 and AAC have tens of bytes; this leaves room for odd ones."""

MAX_HEADERS_BYTES = 1024 * 1024
"""All remembered sequence headers of one stream, as much as its metadata: each watcher that joins may be sent it."""

_MULTITRACK = {MediaKind.VIDEO: (0x8F, 0x86), MediaKind.AUDIO: (0xFF, 0x95)}
"""Mask and value of the first byte of a multitrack packet (Enhanced RTMP v2, packet types 6 and 5)."""

_TRACK = slice(2, 7)
"""Where a multitrack packet with one track has FourCC and track id."""

_MAIN_TRACK = 0
"""The track id of what a packet without one is (Enhanced RTMP v2, Multitrack)."""

_DESCRIPTION = b"\x04"
"""Packet type of colours (video) and of channels (audio), which stand beside a track's sequence header."""

_DESCRIPTIONS = {MediaKind.VIDEO: (0x8F, 0x84), MediaKind.AUDIO: (0xFF, 0x94)}
"""Mask and value of the first byte of a description of the only track."""


def track_of(packet: MediaPacket) -> TrackKey:
    """The track of a packet; one that carries several tracks counts by its first."""
    if _begins_with(packet, _MULTITRACK):
        is_description = packet.data[1:2] and packet.data[1] & 0x0F == _DESCRIPTION[0]
        return packet.kind, packet.data[_TRACK] + (_DESCRIPTION if is_description else b"")
    return packet.kind, _DESCRIPTION if _begins_with(packet, _DESCRIPTIONS) else b""


def is_of_main_track(packet: MediaPacket) -> bool:
    """Whether a packet belongs to the track that everybody plays, not to one of those beside it."""
    track = packet.data[_TRACK]
    return not _begins_with(packet, _MULTITRACK) or (len(track) == len(b"avc1\0") and track[-1] == _MAIN_TRACK)


def _begins_with(packet: MediaPacket, masks_and_values: Mapping[MediaKind, tuple[int, int]]) -> bool:
    found = masks_and_values.get(packet.kind)
    return found is not None and bool(packet.data) and packet.data[0] & found[0] == found[1]


def remember_header(headers: dict[TrackKey, MediaPacket], packet: MediaPacket) -> bool:
    """Keep a sequence header in place of its track's last one; whether the limits above allow that.

    Where they do not, the last one goes all the same: it no longer describes the frames that follow.  For the same
    reason a new sequence header takes the description behind its predecessor away.
    """
    key = track_of(packet)
    known = headers.get(key)
    if known is not None and known.data != packet.data:
        headers.pop((key[0], key[1] + _DESCRIPTION), None)
    size = len(packet.data)
    others = sum(len(header.data) for track, header in headers.items() if track != key)
    fits = size <= MAX_HEADER_BYTES and others + size <= MAX_HEADERS_BYTES
    if fits and (key in headers or len(headers) < MAX_TRACKS):
        headers[key] = packet
        return True
    headers.pop(key, None)
    return False
