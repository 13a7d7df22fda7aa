"""Which track of a stream a packet belongs to, for all who remember one sequence header a track."""

from mmids_trio.media.events import MediaKind, MediaPacket

TrackKey = tuple[MediaKind, bytes]
"""A kind of media, and for multitrack packets FourCC and track id, else nothing."""

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


def track_of(packet: MediaPacket) -> TrackKey:
    """The track of a packet; one that carries several tracks counts by its first."""
    mask_and_value = _MULTITRACK.get(packet.kind)
    if mask_and_value is not None and packet.data and packet.data[0] & mask_and_value[0] == mask_and_value[1]:
        return packet.kind, packet.data[_TRACK]
    return packet.kind, b""


def remember_header(headers: dict[TrackKey, MediaPacket], packet: MediaPacket) -> bool:
    """Keep a sequence header in place of its track's last one; whether the limits above allow that.

    Where they do not, the last one goes all the same: it no longer describes the frames that follow.
    """
    key = track_of(packet)
    size = len(packet.data)
    others = sum(len(header.data) for track, header in headers.items() if track != key)
    fits = size <= MAX_HEADER_BYTES and others + size <= MAX_HEADERS_BYTES
    if fits and (key in headers or len(headers) < MAX_TRACKS):
        headers[key] = packet
        return True
    headers.pop(key, None)
    return False
