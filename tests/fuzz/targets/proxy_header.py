"""Invariant: a PROXY header in any pieces says the same, or raises `ProtocolError`, and no byte behind it is taken.

The first byte is the size of the pieces.
"""

from ipaddress import ip_address

from mmids_trio.errors import ProtocolError
from mmids_trio.net.proxy_protocol import MAX_HEADER_BYTES, ProxiedSource, ProxyHeaderReader

CALLS, CALLS_PER_BYTE = 500, 60


def fuzz_one(data: bytes) -> None:
    """Read as much as is wanted at once, and less."""
    size, wire = data[:1], data[1:]
    whole = _read(wire, len(wire))
    assert _read(wire, size[0] if size else 0) == whole
    if whole is not None and whole[0] is not None:
        ip_address(whole[0].host)
        assert 0 <= whole[0].port <= 0xFFFF


def _read(wire: bytes, size: int) -> tuple[ProxiedSource | None, int] | None:
    """What the header says and how long it is; `None` when it is none. One that is not whole has -1."""
    reader, position = ProxyHeaderReader(), 0
    try:
        while reader.wanted:
            if position == len(wire):
                return None, -1
            taken = wire[position : position + min(reader.wanted, max(size, 1))]
            position += len(taken)
            reader.read_header(taken)
            assert 0 <= reader.wanted <= MAX_HEADER_BYTES
    except ProtocolError:
        return None
    return reader.source, position
