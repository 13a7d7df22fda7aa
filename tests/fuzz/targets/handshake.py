"""Invariant: a handshake in any pieces answers the same, once, ends where it should, and loses no byte behind it.

The first byte says which side, the second is the size of the pieces.
"""

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.handshake import ClientHandshake, ServerHandshake
from tests.fuzz.reading import pieces

LENGTH = 1 + 2 * 1536
CALLS, CALLS_PER_BYTE = 2000, 20


def fuzz_one(data: bytes) -> None:
    """Shake hands whole and in pieces."""
    head, wire = data[:2].ljust(2, b"\0"), data[2:]
    side = ClientHandshake if head[0] & 1 else ServerHandshake
    whole = _shake(side(bytes), [wire])
    assert _shake(side(bytes), pieces(wire, head[1])) == whole


def _shake(handshake: ClientHandshake | ServerHandshake, data: list[bytes]) -> tuple[bytes, bytes] | None:
    answer = b""
    try:
        for piece in data:
            answer += handshake.receive_handshake(piece)
    except ProtocolError:
        return None
    received = b"".join(data)
    assert handshake.done == (len(received) >= LENGTH)
    assert handshake.trailing == received[LENGTH:]
    assert len(answer) <= LENGTH
    return answer, handshake.trailing
