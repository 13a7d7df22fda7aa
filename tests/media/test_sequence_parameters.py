"""Picture sizes from sequence headers: those of real encoders, and bytes from anybody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.sequence_parameters import avc_size, hevc_size

AVC = {
    # x264, by FFmpeg 9.0: high profile, cropped to 1080 lines, interlaced, 4:4:4, baseline
    "0164000dffe100196764000dacd94141fb011000000300100000030320f142996001000668ebe3cb22c0fdf8f800": (320, 240),
    "01640028ffe1001b67640028acd940780227e5c044000003000400000300c83c60c65801000668ebe3cb22c0fdf8f800": (1920, 1080),
    "0164001effe1001a6764001eacd940d87bcde022000003000200000300643e28532c01000668fba3cb22c0fdf8f800": (854, 480),
    "01f4001fffe1001a67f4001f919b280a00b76022000003000200000300641e30632c01000668ebe3c44844fff8f800": (1280, 720),
    "0142c01effe100186742c01ed900a02fee6c0440000003004000000c83c58b9201000568cb83cb20": (636, 358),
}

HEVC = {
    # x265, by FFmpeg 9.0, the other parameter sets taken out: 8 bits, cropped, 10 bits
    "01016000000090000000000078f000fcfdf8f800000f01210001002a420101016000000300900000030000030078a003c08010e596566924caf0"
    "168080000003008000000c84": (1920, 1080),
    "0101600000009000000000003ff000fcfdf8f800000f01210001002b42010101600000030090000003000003003fa005020169dd65959a4932bc"
    "05a02000000300200000030321": (636, 358),
    "0102200000009000000000005df000fcfdfafa00000f01210001002b42010102200000030090000003000003005da00280802d1365959a4932bc"
    "05a02000000300200000030321": (1280, 720),
}


@pytest.mark.parametrize("record", AVC)
def test_the_size_of_h264(record: str) -> None:
    assert avc_size(bytes.fromhex(record)) == AVC[record]


@pytest.mark.parametrize("record", HEVC)
def test_the_size_of_hevc(record: str) -> None:
    assert hevc_size(bytes.fromhex(record)) == HEVC[record]


@pytest.mark.parametrize(("read", "record"), [(avc_size, next(iter(AVC))), (hevc_size, next(iter(HEVC)))])
def test_a_record_that_ends_early_has_no_size(read: object, record: str) -> None:
    assert callable(read)
    whole = bytes.fromhex(record)
    for end in range(16):
        assert read(whole[:end]) is None


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_sane_size_or_none(data: bytes) -> None:
    for size in (avc_size(data), avc_size(b"\1d\0\x0d\xff\xe1\0\x40g" + data), hevc_size(data)):
        assert size is None or (0 < size[0] <= 16_384 and 0 < size[1] <= 16_384)
