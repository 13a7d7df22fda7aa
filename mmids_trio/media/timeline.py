"""Arithmetic on 32-bit millisecond timestamps that wrap (RTMP 1.0 §5.3.1.2, serial numbers as in RFC 1982)."""

MODULUS = 1 << 32
_HALF = 1 << 31


def is_after(left: int, right: int) -> bool:
    """Whether `left` comes after `right`, given that they are less than 2**31 ms (24 days) apart."""
    return 0 < (left - right) % MODULUS < _HALF


def shifted(timestamp: int, by: int) -> int:
    """`timestamp` moved by `by` milliseconds, wrapped."""
    return (timestamp + by) % MODULUS


def latest(left: int, right: int) -> int:
    """The later of the two."""
    return left if is_after(left, right) else right
