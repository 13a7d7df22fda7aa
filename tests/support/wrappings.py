"""Bodies of Enhanced RTMP v2 in every wrapping that it defines, made from numbers."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import product

from attrs import field, frozen

from mmids_trio.media.codecs import parse_audio, parse_video
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId

SEQUENCE_START, CODED_FRAMES, DESCRIPTION = 0, 1, 4
MOD_EX = 7
KEY_FRAME = 1
MULTITRACK = {MediaKind.VIDEO: 6, MediaKind.AUDIO: 5}

OFFSET = b"\0\0\x28"
"""A composition offset of 40 ms."""


class Form(IntEnum):
    """How tracks are packed; the values are AvMultitrackType, but for the first."""

    PLAIN = -1
    ONE = 0
    MANY = 1
    MANY_CODECS = 2


@frozen
class Track:
    """One track in a body."""

    number: int
    payload: bytes
    four_cc: bytes


def nanosecond_offset(nanoseconds: int) -> bytes:
    """The only extension that is defined (ModExType TimestampOffsetNano): its data."""
    return nanoseconds.to_bytes(3, "big")


@frozen(kw_only=True)
class Wrapping:
    """One way to say the same: extensions before the packet type, then the form of the tracks."""

    kind: MediaKind
    form: Form
    extensions: tuple[bytes, ...] = ()
    tracks: Sequence[Track] = field()
    packet_type: int = SEQUENCE_START

    @property
    def data(self) -> bytes:
        """The body."""
        types = [MOD_EX] * len(self.extensions)
        types.append(self.packet_type if self.form is Form.PLAIN else MULTITRACK[self.kind])
        head = 0x80 | KEY_FRAME << 4 if self.kind is MediaKind.VIDEO else 0x90
        parts = [bytes([head | types[0]])]
        for extension, following in zip(self.extensions, types[1:], strict=True):
            size = len(extension) - 1
            parts.append(bytes([size]) if size < 255 else b"\xff" + size.to_bytes(2, "big"))
            parts += [extension, bytes([following])]  # the upper half, 0, is the type of the extension
        return b"".join(parts) + self._body()

    def _body(self) -> bytes:
        if self.form is Form.PLAIN:
            [track] = self.tracks
            return track.four_cc + track.payload
        parts = [bytes([self.form << 4 | self.packet_type])]
        if self.form is not Form.MANY_CODECS:
            parts.append(self.tracks[0].four_cc)
        for track in self.tracks:
            parts.append(track.four_cc if self.form is Form.MANY_CODECS else b"")
            parts.append(bytes([track.number]))
            parts.append(b"" if self.form is Form.ONE else len(track.payload).to_bytes(3, "big"))
            parts.append(track.payload)
        return b"".join(parts)

    def packet(self, timestamp: int = 0) -> MediaPacket:
        """As the server reads it."""
        parse = parse_video if self.kind is MediaKind.VIDEO else parse_audio
        return parse(StreamId("stream"), timestamp, self.data)


EXTENSIONS = (
    (),
    (nanosecond_offset(999_999),),
    (b"x",),
    (bytes(256),),
    (bytes(257),),
    (nanosecond_offset(1), b"y", bytes(300)),
    (b"z",) * 15,
)
"""Chains of ModEx: none, the usual one, the shortest, around where its size takes two bytes more, several, the most."""

CODECS = {MediaKind.VIDEO: (b"hvc1", b"av01", b"avc1"), MediaKind.AUDIO: (b"mp4a", b"Opus", b"fLaC")}

NUMBERS = ((0,), (1,), (0, 1), (1, 0), (2, 1), (2, 0, 5))
"""Which tracks stand in a body, in which order."""


def wrappings(packet_type: int) -> Iterator[Wrapping]:
    """Every wrapping of either kind, over all chains of extensions and all choices of tracks."""
    for kind, form, extensions, numbers in product(MULTITRACK, Form, EXTENSIONS, NUMBERS):
        if (form is Form.PLAIN and numbers != (0,)) or (form is Form.ONE and len(numbers) > 1):
            continue
        codecs = CODECS[kind] if form is Form.MANY_CODECS else CODECS[kind][:1] * 3
        tracks = [
            Track(number, _payload(kind, packet_type, four_cc, number), four_cc)
            for number, four_cc in zip(numbers, codecs, strict=False)
        ]
        yield Wrapping(kind=kind, form=form, extensions=extensions, tracks=tracks, packet_type=packet_type)


def _payload(kind: MediaKind, packet_type: int, four_cc: bytes, number: int) -> bytes:
    has_offset = kind is MediaKind.VIDEO and packet_type == CODED_FRAMES and four_cc in (b"hvc1", b"avc1")
    return (OFFSET if has_offset else b"") + b"payload of track %d" % number
