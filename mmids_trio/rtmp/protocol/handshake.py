"""The RTMP handshake (RTMP 1.0 §5.2) from both ends, bytes in and bytes out.

It stands apart because it is over before the first chunk and shares nothing with what follows. The
server also knows the digest form that Flash Player 9 introduced and that encoders still send; the
client only needs the plain form, which every server takes.  Randomness is handed in.
"""

from collections.abc import Callable

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import handshake_digest as digest

_VERSION = b"\x03"
_PACKET = 1536  # bytes of C1, S1, C2 and S2
_HEADER = 8  # of them time and version
_ZERO_HEADER = bytes(_HEADER)

_TLS_HANDSHAKE = 0x16
_OTHER_VERSIONS = {
    0x0D: "a PROXY protocol header, from an address that rtmp_proxy_protocol_from does not list",
    0x06: "RTMPE (encrypted RTMP), which is not supported",
    0x08: "RTMPE (encrypted RTMP, XTEA), which is not supported",
    _TLS_HANDSHAKE: "TLS on a plain RTMP port",
}

Random = Callable[[int], bytes]
"""Returns that many random bytes."""


class _Handshake:
    """What both sides share: three packets come in, the answer is due after the second."""

    def __init__(self, random: Random) -> None:
        self.done = False
        """Whether the peer's last packet is in. What it says is never checked: many send what they like."""
        self.trailing = b""
        """Once done, the bytes that came after the handshake: the first chunks."""
        self._random = random
        self._buffer = bytearray()
        self._answered = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the peer and return those to send, which are none or the whole answer.

        Raises `ProtocolError` as soon as the first byte shows that the peer speaks something else.
        """
        if self.done:
            self.trailing += data
            return b""
        self._buffer += data
        _check_version(self._buffer)
        answer = b""
        if not self._answered and len(self._buffer) > _PACKET:
            answer = self._answer(bytes(self._buffer[1 : 1 + _PACKET]))
            self._answered = True
        if len(self._buffer) > 2 * _PACKET:
            self.trailing = bytes(self._buffer[1 + 2 * _PACKET :])
            self.done = True
            self._buffer.clear()
        return answer

    def _answer(self, packet: bytes) -> bytes:
        """What to send when `packet` (C1 or S1) is in."""
        raise NotImplementedError


class ServerHandshake(_Handshake):
    """The server's side: feed it with `receive` until `done`, then take over from `trailing`.

    The answer is S0, S1 and S2 at once, in the form of C1.
    """

    def _answer(self, packet: bytes) -> bytes:
        scheme = None if packet[4:_HEADER] == bytes(4) else digest.find_scheme(packet)
        if scheme is not None:
            return _VERSION + digest.answer(packet, scheme, self._random)
        return _VERSION + _ZERO_HEADER + self._random(_PACKET - _HEADER) + packet


class ClientHandshake(_Handshake):
    """The client's side in the plain form: send `start()`, feed `receive` until `done`. The answer is C2."""

    def start(self) -> bytes:
        """C0 and C1."""
        return _VERSION + _ZERO_HEADER + self._random(_PACKET - _HEADER)

    def _answer(self, packet: bytes) -> bytes:
        return packet


def _check_version(data: bytearray) -> None:
    if data and data[:1] != _VERSION:
        raise ProtocolError(f"expected RTMP version 3 as the first byte, got {_name_of(data[0])}")


def _name_of(version: int) -> str:
    if chr(version).isascii() and chr(version).isalpha():
        return f"the letter {chr(version)!r}: probably HTTP"
    return f"0x{version:02x}: {_OTHER_VERSIONS.get(version, 'not a version of RTMP')}"
