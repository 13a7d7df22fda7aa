"""Invariant: any bytes are AMF0 values or a `ProtocolError`, and values say the same when written and read again.

What they grow to is bounded by the limit on references, and the depth by that on nesting (else writing would raise).
"""

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.limits import MAX_AMF_EXPANSION, MAX_AMF_ITEMS

CALLS, CALLS_PER_BYTE = 2_000_000, 40
"""References of a few bytes may stand for `MAX_AMF_ITEMS` values, each of which is written and read twice here."""


def fuzz_one(data: bytes) -> None:
    """Read, write, read and write."""
    try:
        values = amf.decode_all(data)
    except ProtocolError:
        return
    written = amf.encode_all(values)
    assert len(written) <= 4 * len(data) + MAX_AMF_EXPANSION + 4 * MAX_AMF_ITEMS
    # Bytes, since NaN is not equal to itself.  What was allowed once with references may be too much without them.
    try:
        again = amf.decode_all(written)
    except ProtocolError:
        assert len(data) < len(written)
    else:
        assert amf.encode_all(again) == written
