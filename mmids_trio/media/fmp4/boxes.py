"""Boxes of ISO/IEC 14496-12: their frame, and those that do not depend on a codec."""

from struct import Struct

UNITY_MATRIX = b"".join(number.to_bytes(4, "big") for number in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
"""No rotation, no scaling (§6.2.2)."""

TWO, FOUR = Struct(">H"), Struct(">I")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of `kind` around `parts` (§4.2)."""
    return b"".join((FOUR.pack(8 + sum(map(len, parts))), kind, *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags (§4.2)."""
    return box(kind, FOUR.pack(version << 24 | flags), *parts)


def number(value: int) -> bytes:
    """An unsigned 32-bit number."""
    return FOUR.pack(value)


def file_type() -> bytes:
    """`ftyp` of a CMAF track file (ISO/IEC 23000-19 §7.2)."""
    return box(b"ftyp", b"iso6", number(0), b"iso6cmfcmp41")


def movie_header(track_count: int) -> bytes:
    """`mvhd` (§8.2.2): the duration is that of fragments to come."""
    return full_box(
        b"mvhd",
        0,
        0,
        *(bytes(8), number(1000), number(0)),
        *(number(0x10000), b"\1\0", bytes(10), UNITY_MATRIX, bytes(24), number(track_count + 1)),
    )


def track_header(track_id: int, *, is_audio: bool, size: tuple[int, int]) -> bytes:
    """`tkhd` (§8.3.2): enabled and in the movie."""
    volume = b"\1\0" if is_audio else b"\0\0"
    width, height = size
    return full_box(
        b"tkhd",
        0,
        3,
        *(bytes(8), number(track_id), bytes(8), bytes(8), bytes(4)),
        *(volume, bytes(2), UNITY_MATRIX, number(width << 16), number(height << 16)),
    )


def media_header(timescale: int) -> bytes:
    """`mdhd` (§8.4.2), in no language."""
    return full_box(b"mdhd", 0, 0, bytes(8), number(timescale), number(0), b"\x55\xc4\0\0")


def handler(*, is_audio: bool) -> bytes:
    """`hdlr` (§8.4.3)."""
    kind, name = (b"soun", b"sound\0") if is_audio else (b"vide", b"video\0")
    return full_box(b"hdlr", 0, 0, bytes(4), kind, bytes(12), name)


def sample_table(entry: bytes) -> bytes:
    """`stbl` (§8.5.1) of a track whose samples are all in fragments."""
    return box(
        b"stbl",
        full_box(b"stsd", 0, 0, number(1), entry),
        full_box(b"stts", 0, 0, number(0)),
        full_box(b"stsc", 0, 0, number(0)),
        full_box(b"stsz", 0, 0, number(0), number(0)),
        full_box(b"stco", 0, 0, number(0)),
    )


def media_information(entry: bytes, *, is_audio: bool) -> bytes:
    """`minf` (§8.4.4): the data are in this file."""
    kind = full_box(b"smhd", 0, 0, bytes(4)) if is_audio else full_box(b"vmhd", 0, 1, bytes(8))
    here = box(b"dinf", full_box(b"dref", 0, 0, number(1), full_box(b"url ", 0, 1)))
    return box(b"minf", kind, here, sample_table(entry))


def track_defaults(track_id: int) -> bytes:
    """`trex` (§8.8.3)."""
    return full_box(b"trex", 0, 0, number(track_id), number(1), bytes(12))
