"""Picture size from the sequence headers of H.264, HEVC and AV1: the few fields of a parameter set up to it.

ITU-T H.264 §7.3.2.1.1, H.265 §7.3.2.2.1 and the AV1 specification §5.5; the records around them are those of ISO/IEC
14496-15 §5.3.3.1 and §8.3.3.1 and of the AV1 binding to ISO BMFF §2.3.  Everything read here may come from anybody:
what does not fit is `None`, never an error.
"""

from attrs import define

_HIGH_PROFILES = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_MAX_BITS_OF_A_NUMBER = 32
_MAX_PIXELS = 16_384
_HEVC_SPS = 33
_AV1_RECORD = 4  # bytes in front of the OBUs
_AV1_SEQUENCE_HEADER = 1
_MAX_CYCLE = 255


class BitsEnded(Exception):
    """There is no such bit."""


@define
class BitReader:
    """Reads bytes bit by bit, the most significant bit first."""

    data: bytes
    place: int = 0

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte, bit = divmod(self.place, 8)
            if byte >= len(self.data):
                raise BitsEnded
            value = value << 1 | self.data[byte] >> (7 - bit) & 1
            self.place += 1
        return value

    def number(self) -> int:
        """ue(v), H.264 §9.1."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > _MAX_BITS_OF_A_NUMBER:
                raise BitsEnded
        return (1 << zeros) - 1 + self.bits(zeros)


def _payload(unit: bytes, header: int) -> BitReader:
    """A NAL unit behind its header, without its emulation prevention bytes (H.264 §7.3.1)."""
    return BitReader(unit[header:].replace(b"\0\0\3", b"\0\0"))


def avc_size(record: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, from an AVCDecoderConfigurationRecord."""
    try:
        length = int.from_bytes(record[6:8], "big")
        return _sane(*_avc_sps(_payload(record[8 : 8 + length], 1))) if record[5] & 31 else None
    except (BitsEnded, IndexError):
        return None


def hevc_size(record: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, from an HEVCDecoderConfigurationRecord."""
    try:
        place = 23
        for _ in range(record[22]):
            kind, count = record[place] & 63, int.from_bytes(record[place + 1 : place + 3], "big")
            place += 3
            for _ in range(count):
                length = int.from_bytes(record[place : place + 2], "big")
                if kind == _HEVC_SPS:
                    return _sane(*_hevc_sps(_payload(record[place + 2 : place + 2 + length], 2)))
                place += 2 + length
    except (BitsEnded, IndexError):
        pass
    return None


def av1_size(record: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, from an AV1CodecConfigurationRecord that holds the sequence header."""
    place = _AV1_RECORD
    while place < len(record):
        header = record[place]
        place += 1 + (header >> 2 & 1)  # obu_extension_flag
        size, place = _leb128(record, place) if header & 2 else (len(record) - place, place)
        if header >> 3 & 15 == _AV1_SEQUENCE_HEADER:
            try:
                return _sane(*_av1_sequence(BitReader(record[place : place + size])))
            except BitsEnded:
                return None
        place += size
    return None


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    """A number of the AV1 specification §4.10.5, and the place behind it."""
    value = 0
    for count in range(8):
        byte = data[place] if place < len(data) else 0
        place += 1
        value |= (byte & 127) << 7 * count
        if not byte & 128:
            break
    return value, place


def _av1_sequence(bits: BitReader) -> tuple[int, int]:
    """AV1 §5.5.1, up to the size of the picture."""
    bits.bits(4)  # seq_profile, still_picture
    if bits.bits(1):  # reduced_still_picture_header
        bits.bits(5)
    else:
        _av1_operating_points(bits)
    width_bits, height_bits = bits.bits(4) + 1, bits.bits(4) + 1
    return bits.bits(width_bits) + 1, bits.bits(height_bits) + 1


def _av1_operating_points(bits: BitReader) -> None:
    has_timing = bits.bits(1)
    delay_bits = 0
    has_decoder_model = False
    if has_timing:
        bits.bits(64)
        if bits.bits(1):  # equal_picture_interval
            bits.number()
        has_decoder_model = bool(bits.bits(1))
        if has_decoder_model:
            delay_bits = bits.bits(5) + 1
            bits.bits(32 + 5 + 5)
    has_delays = bits.bits(1)
    for _ in range(bits.bits(5) + 1):
        bits.bits(12)
        if bits.bits(5) > 7:  # noqa: PLR2004  (only the higher levels have tiers)
            bits.bits(1)
        if has_decoder_model and bits.bits(1):
            bits.bits(2 * delay_bits + 1)
        if has_delays and bits.bits(1):
            bits.bits(4)


def _sane(width: int, height: int) -> tuple[int, int] | None:
    return (width, height) if 0 < width <= _MAX_PIXELS and 0 < height <= _MAX_PIXELS else None


def _avc_sps(sps: BitReader) -> tuple[int, int]:
    profile = sps.bits(24) >> 16
    sps.number()  # seq_parameter_set_id
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = _avc_high_profile(sps)
    sps.number()  # log2_max_frame_num_minus4
    _avc_order_count(sps)
    sps.number()  # max_num_ref_frames
    sps.bits(1)
    width, height = 16 * (sps.number() + 1), 16 * (sps.number() + 1)
    frames_only = sps.bits(1)
    height *= 2 - frames_only
    sps.bits(1 if frames_only else 2)
    if sps.bits(1):
        left, right, top, bottom = (sps.number() for _ in range(4))
        unit_x = 2 if chroma in (1, 2) else 1
        unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        width, height = width - unit_x * (left + right), height - unit_y * (top + bottom)
    return width, height


def _avc_high_profile(sps: BitReader) -> int:
    chroma = sps.number()
    if chroma == 3:  # noqa: PLR2004  (4:4:4 has one field more)
        sps.bits(1)
    sps.number()
    sps.number()
    sps.bits(1)
    if sps.bits(1):
        raise BitsEnded  # scaling lists, which live encoders do not send
    return chroma


def _avc_order_count(sps: BitReader) -> None:
    kind = sps.number()
    if kind == 0:
        sps.number()
    elif kind == 1:
        sps.bits(1)
        sps.number()
        sps.number()
        count = sps.number()
        if count > _MAX_CYCLE:
            raise BitsEnded
        for _ in range(count):
            sps.number()


def _hevc_sps(sps: BitReader) -> tuple[int, int]:
    sps.bits(4)
    sub_layers = sps.bits(3)
    sps.bits(1)
    sps.bits(88 + 8)  # general profile, tier and level
    flags = [(sps.bits(1), sps.bits(1)) for _ in range(sub_layers)]
    if sub_layers:
        sps.bits(2 * (8 - sub_layers))
    for has_profile, has_level in flags:
        sps.bits(88 * has_profile + 8 * has_level)
    sps.number()
    chroma = sps.number()
    if chroma == 3:  # noqa: PLR2004  (4:4:4 has one field more)
        sps.bits(1)
    width, height = sps.number(), sps.number()
    if sps.bits(1):
        left, right, top, bottom = (sps.number() for _ in range(4))
        width -= (2 if chroma in (1, 2) else 1) * (left + right)
        height -= (2 if chroma == 1 else 1) * (top + bottom)
    return width, height
