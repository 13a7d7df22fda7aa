"""Decoder configurations, read: what a sequence header (or, without one, a first frame) says of a track.

Everybody who has to describe a track, or to hand it to a decoder in another container, needs the same few facts: its
size or its rate, its profile, and its name in the terms of RFC 6381.  Bytes come from anybody: what makes no sense is
`None`, never an error.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.payload import payload_of
from mmids_trio.media.sequence_parameters import BitReader, BitsEnded, av1_size, avc_size, hevc_size

AAC_FRAME, HE_AAC_OBJECT_TYPES = 1024, (5, 29)
"""Samples in a frame of AAC-LC; audio object types (ISO/IEC 14496-3 §1.5.1.1) of SBR and of SBR with PS."""

_AAC_RATES: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
"""ISO/IEC 14496-3 §1.6.3.4, by index."""

_AAC_CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0)
"""ISO/IEC 14496-3 §1.6.3.5, by channel configuration; 0 is "elsewhere" or reserved."""

_AAC_EXPLICIT_RATE, _AAC_ESCAPE = 15, 31


@frozen
class VideoConfiguration:
    """`codec` as `MediaPacket` has it; `record` as ISO BMFF puts it behind the sample entry (`avcC`, `hvcC`, `av1C`,
    and `vpcC` without its version and flags).

    `size` in pixels, `None` where the record does not say; `profile` and `level` in the codec's own numbers.
    """

    codec: str
    record: bytes
    size: tuple[int, int] | None
    profile: int
    level: int
    rfc6381: str
    """As `CODECS` of a playlist and the browser's `isTypeSupported` want it."""


@frozen
class AudioConfiguration:
    """`codec` as `MediaPacket` has it; `record` is what its sample entry needs (AudioSpecificConfig, the content of
    `dOps`, `dac3`, `dec3` or `dfLa`; nothing for MP3).

    `sample_rate` in Hz and `frame_samples` at that rate: those of the container's clock (for HE-AAC the core's);
    `frame_samples` is 0 where frames may have any length.
    """

    codec: str
    record: bytes
    sample_rate: int
    channels: int
    frame_samples: int
    rfc6381: str


Configuration = VideoConfiguration | AudioConfiguration


def read_configuration(packet: MediaPacket) -> Configuration | None:
    """What a sequence header of the main track says; for codecs that have none (MP3, AC-3, E-AC-3) what a frame does.

    `None` for every other packet, for descriptions (colours, channels), and for what cannot be read.
    """
    read = _READERS.get((packet.kind, packet.codec or ""))
    if read is None:
        return None
    wants_header, reader = read
    payload = payload_of(packet)
    if payload is None or payload.is_description or packet.is_sequence_header is not wants_header:
        return None
    try:
        return reader(payload.data)
    except (IndexError, BitsEnded):
        return None


def is_configured_by_frames(codec: str | None) -> bool:
    """Whether every frame of the codec says all that a decoder must know, so that there are no sequence headers."""
    return codec in {".mp3", "ac-3", "ec-3"}


def needs_header(codec: str | None) -> bool:
    """Whether frames of the codec can only be decoded behind a sequence header, as far as the codec is known here."""
    return codec in _BEHIND_HEADERS


# Video.


def _avc(record: bytes) -> VideoConfiguration | None:
    if len(record) < 7 or record[0] != 1:  # noqa: PLR2004  (up to the first parameter set)
        return None
    name = f"avc1.{record[1:4].hex().upper()}"
    return VideoConfiguration("avc1", record, avc_size(record), record[1], record[3], name)


def _hevc(record: bytes) -> VideoConfiguration | None:
    """ISO/IEC 14496-15 §E.3 has the name."""
    if len(record) < 23:  # noqa: PLR2004  (up to the arrays)
        return None
    space, tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 31
    compatible = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [
        "hvc1",
        f"{('', 'A', 'B', 'C')[space]}{profile}",
        f"{compatible:X}",
        f"{'LH'[tier]}{record[12]}",
        *(f"{byte:X}" for byte in constraints),
    ]
    return VideoConfiguration("hvc1", record, hevc_size(record), profile, record[12], ".".join(parts))


def _av1(record: bytes) -> VideoConfiguration | None:
    """The AV1 binding to ISO BMFF §5 has the name."""
    if len(record) < 4 or record[0] != 0x81:  # noqa: PLR2004  (marker and version)
        return None
    profile, level, tier = record[1] >> 5, record[1] & 31, record[2] >> 7
    depth = (12 if record[2] >> 5 & 1 else 10) if record[2] >> 6 & 1 else 8
    name = f"av01.{profile}.{level:02d}{'MH'[tier]}.{depth:02d}"
    return VideoConfiguration("av01", record, av1_size(record), profile, level, name)


def _vp9(record: bytes) -> VideoConfiguration | None:
    """FFmpeg puts version and flags of the box in front, others do not. The size stands in the frames alone."""
    if record[:4] == b"\1\0\0\0":
        record = record[4:]
    if len(record) < 8:  # noqa: PLR2004  (without initialisation data)
        return None
    profile, level, depth = record[0], record[1], record[2] >> 4
    return VideoConfiguration("vp09", record, None, profile, level, f"vp09.{profile:02d}.{level:02d}.{depth:02d}")


# Audio.


def _aac(record: bytes) -> AudioConfiguration | None:
    """AudioSpecificConfig, ISO/IEC 14496-3 §1.6.2.1."""
    bits = BitReader(record)
    kind = _aac_object_type(bits)
    rate = _aac_rate(bits)
    channels = _AAC_CHANNELS[bits.bits(4)]
    if kind in HE_AAC_OBJECT_TYPES:
        _aac_rate(bits)  # of what the decoder makes; the clock of the track is the core's
        core = _aac_object_type(bits)
    else:
        core = kind
    samples = 960 if core in {1, 2, 3, 4, 6, 7} and bits.bits(1) else AAC_FRAME
    if not rate:
        return None
    return AudioConfiguration("mp4a", record, rate, channels or 2, samples, f"mp4a.40.{kind}")


def _aac_object_type(bits: BitReader) -> int:
    kind = bits.bits(5)
    return 32 + bits.bits(6) if kind == _AAC_ESCAPE else kind


def _aac_rate(bits: BitReader) -> int:
    index = bits.bits(4)
    return bits.bits(24) if index == _AAC_EXPLICIT_RATE else _AAC_RATES[index]


def _opus(record: bytes) -> AudioConfiguration | None:
    """`OpusHead` (RFC 7845 §5.1, little-endian) as the content of `dOps` (big-endian). Opus counts at 48 kHz."""
    if record[:8] != b"OpusHead" or len(record) < 19:  # noqa: PLR2004  (without a mapping table)
        return None
    channels = record[9]
    box = b"".join((b"\0", record[9:10], record[11:9:-1], record[15:11:-1], record[17:15:-1], record[18:]))
    return AudioConfiguration("Opus", box, 48_000, channels, 0, "opus") if channels else None


def _flac(record: bytes) -> AudioConfiguration | None:
    """The content of `dfLa` behind version and flags: metadata blocks, STREAMINFO first (RFC 9639 §8.2)."""
    record = record.removeprefix(b"fLaC")
    if len(record) == 34:  # noqa: PLR2004  (STREAMINFO without its header)
        record = b"\x80\0\0\x22" + record
    if len(record) < 38 or record[0] & 127:  # noqa: PLR2004
        return None
    info = int.from_bytes(record[14:18], "big")
    rate, channels = info >> 12, (info >> 9 & 7) + 1
    samples = int.from_bytes(record[4:6], "big")
    is_fixed = record[4:6] == record[6:8]
    return AudioConfiguration("fLaC", record, rate, channels, samples if is_fixed else 0, "flac") if rate else None


_MP3_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""By MPEG version (ISO/IEC 11172-3 §2.4.2.3, 13818-3): 1, 2 and 2.5."""


def _mp3(frame: bytes) -> AudioConfiguration | None:
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:  # noqa: PLR2004  (the sync word)
        return None
    version, index = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    if version not in _MP3_RATES:
        return None
    rate = _MP3_RATES[version][index]
    is_mono = frame[3] >> 6 == 3  # noqa: PLR2004
    samples = 1152 if version == 3 else 576  # noqa: PLR2004
    return AudioConfiguration(".mp3", b"", rate, 1 if is_mono else 2, samples, "mp4a.6B" if version == 3 else "mp4a.69")  # noqa: PLR2004


_AC3_RATES: Final = (48_000, 44_100, 32_000)
_AC3_CHANNELS: Final = (2, 1, 2, 3, 3, 4, 4, 5)
"""ETSI TS 102 366 §4.4.2.3, by acmod, without the effects channel."""


def _ac3(frame: bytes) -> AudioConfiguration | None:
    """From a frame's head (ETSI TS 102 366 §4.3) to the content of `dac3` (§F.4)."""
    bits = BitReader(frame)
    if bits.bits(16) != 0x0B77:  # noqa: PLR2004
        return None
    bits.bits(16)
    rate_code, size_code = bits.bits(2), bits.bits(6)
    stream_id, mode = bits.bits(5), bits.bits(3)
    acmod = bits.bits(3)
    if acmod & 1 and acmod != 1:
        bits.bits(2)
    if acmod & 4:
        bits.bits(2)
    if acmod == 2:  # noqa: PLR2004
        bits.bits(2)
    effects = bits.bits(1)
    record = rate_code << 22 | stream_id << 17 | mode << 14 | acmod << 11 | effects << 10 | (size_code >> 1) << 5
    return AudioConfiguration(
        "ac-3", record.to_bytes(3, "big"), _AC3_RATES[rate_code], _AC3_CHANNELS[acmod] + effects, 1536, "ac-3"
    )


def _eac3(frame: bytes) -> AudioConfiguration | None:
    """One independent substream (ETSI TS 102 366 §E.1.2) as the content of `dec3` (§F.6)."""
    bits = BitReader(frame)
    if bits.bits(16) != 0x0B77:  # noqa: PLR2004
        return None
    bits.bits(2 + 3)
    size = (bits.bits(11) + 1) * 2
    rate_code = bits.bits(2)
    blocks_code = bits.bits(2)
    acmod, effects, stream_id = bits.bits(3), bits.bits(1), bits.bits(5)
    blocks = (1, 2, 3, 6)[blocks_code]
    rate, samples = _AC3_RATES[rate_code], 256 * blocks
    kbps = size * 8 * rate // samples // 1000
    record = kbps << 27 | rate_code << 22 | stream_id << 17 | acmod << 9 | effects << 8
    return AudioConfiguration("ec-3", record.to_bytes(5, "big"), rate, _AC3_CHANNELS[acmod] + effects, samples, "ec-3")


_READERS: Final[Mapping[tuple[MediaKind, str], tuple[bool, Callable[[bytes], Configuration | None]]]] = {
    (MediaKind.VIDEO, "avc1"): (True, _avc),
    (MediaKind.VIDEO, "hvc1"): (True, _hevc),
    (MediaKind.VIDEO, "av01"): (True, _av1),
    (MediaKind.VIDEO, "vp09"): (True, _vp9),
    (MediaKind.AUDIO, "mp4a"): (True, _aac),
    (MediaKind.AUDIO, "Opus"): (True, _opus),
    (MediaKind.AUDIO, "fLaC"): (True, _flac),
    (MediaKind.AUDIO, ".mp3"): (False, _mp3),
    (MediaKind.AUDIO, "ac-3"): (False, _ac3),
    (MediaKind.AUDIO, "ec-3"): (False, _eac3),
}
"""By kind and codec: whether it is read from a sequence header (or else from a frame), and how."""

_BEHIND_HEADERS: Final = frozenset(codec for (_, codec), (wants_header, _) in _READERS.items() if wants_header)
