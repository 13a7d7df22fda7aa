"""How long a packet of Opus lasts, which only its first byte says (RFC 6716 §3.1)."""

_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
"""Samples at 48 kHz, by the last bits of the configuration number."""

_HYBRID_FROM, _CELT_FROM = 12, 16
_LONGEST = 5_760


def opus_samples(packet: bytes) -> int:
    """Samples at 48 kHz; 0 for what is no packet."""
    if not packet:
        return 0
    configuration, count_code = packet[0] >> 3, packet[0] & 3
    if configuration >= _CELT_FROM:
        frame = _CELT[configuration & 3]
    elif configuration >= _HYBRID_FROM:
        frame = _HYBRID[configuration & 1]
    else:
        frame = _SILK[configuration & 3]
    counts = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)  # the last: any number of frames, which follows
    return min(frame * counts[count_code], _LONGEST)
