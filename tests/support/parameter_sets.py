"""Sequence headers of H.264 for pictures of any size: an SPS written bit by bit (ITU-T H.264 §7.3.2.1.1)."""

import re

_BLOCK, _CROP_UNIT = 16, 2


def _number(value: int) -> str:
    """ue(v), §9.1."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _sps(width: int, height: int) -> bytes:
    across, down = -(-width // _BLOCK), -(-height // _BLOCK)
    crop = ((across * _BLOCK - width) // _CROP_UNIT, (down * _BLOCK - height) // _CROP_UNIT)
    # id, frame numbers, order of pictures, reference frames; no gaps
    bits = "".join(map(_number, (0, 0, 2, 1))) + "0" + _number(across - 1) + _number(down - 1)
    bits += "11"  # whole frames, direct inference
    bits += "1" + "".join(map(_number, (0, crop[0], 0, crop[1]))) if any(crop) else "0"
    bits += "01"  # no VUI; the stop bit
    bits += "0" * (-len(bits) % 8)
    payload = b"\x42\0\x3e" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\x67" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", payload)


def avc_header(width: int, height: int) -> bytes:
    """An FLV tag body: the AVCDecoderConfigurationRecord of pictures of this size."""
    sps = _sps(width, height)
    pps = b"\x68\xce\x3c\x80"
    record = b"".join(
        (b"\x01", sps[1:4], b"\xff\xe1", len(sps).to_bytes(2, "big"), sps, b"\x01", len(pps).to_bytes(2, "big"), pps)
    )
    return b"\x17\0\0\0\0" + record
