"""The RTMP handshake (RTMP 1.0 §5.2) from both ends, bytes in and bytes out; randomness is handed in.

It is over before the first chunk and shares nothing with what follows.  The server also knows the digest form that
Flash Player 9 introduced, that Adobe never specified and that encoders still send: C1 and S1 carry an HMAC-SHA256 of
themselves at a place that their own bytes determine, in one of two schemes.  The client only needs the plain form,
which every server takes.
"""

import hmac
from collections.abc import Callable

from mmids_trio.errors import ProtocolError

_PACKET = 1536  # bytes of C1, S1, C2 and S2
_DIGEST = 32
_SPREAD = 728  # places at which a digest may begin
_PLACE = 4  # bytes whose sum says where

SCHEMES = (772, 8)
"""Where the bytes that say where the digest is begin, in the order in which they are tried."""

_SHARED_KEY = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_CLIENT_KEY = b"Genuine Adobe Flash Player 001"  # 30 bytes; its 62-byte continuation is for C2, never checked
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001"  # 36 bytes
_SERVER_FULL_KEY = _SERVER_KEY + _SHARED_KEY  # 68 bytes

_SERVER_HEADER = bytes(4) + b"\x05\x00\x01\x01"
"""S1's time and version; any version from 3 on announces the digest form."""


def find_scheme(c1: bytes) -> int | None:
    """The scheme in which `c1` carries a valid digest of the client's, or `None`."""
    for scheme in SCHEMES:
        place = _place(c1, scheme)
        if hmac.compare_digest(_digest_at(c1, place, _CLIENT_KEY), c1[place : place + _DIGEST]):
            return scheme
    return None


def answer_with_digest(c1: bytes, scheme: int, random: Callable[[int], bytes]) -> bytes:
    """S1 and S2 for a `c1` that carries its digest in `scheme`."""
    s1 = _SERVER_HEADER + random(_PACKET - len(_SERVER_HEADER))
    place = _place(s1, scheme)
    s1 = s1[:place] + _digest_at(s1, place, _SERVER_KEY) + s1[place + _DIGEST :]
    client_place = _place(c1, scheme)
    key = hmac.digest(_SERVER_FULL_KEY, c1[client_place : client_place + _DIGEST], "sha256")
    s2 = random(_PACKET - _DIGEST)
    return s1 + s2 + hmac.digest(key, s2, "sha256")


def _place(packet: bytes, scheme: int) -> int:
    return scheme + _PLACE + sum(packet[scheme : scheme + _PLACE]) % _SPREAD


def _digest_at(packet: bytes, place: int, key: bytes) -> bytes:
    """The digest that belongs at `place`: of the packet without the bytes there."""
    return hmac.digest(key, packet[:place] + packet[place + _DIGEST :], "sha256")


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

    def receive_handshake(self, data: bytes) -> bytes:
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
    """The server's side: feed it with `receive_handshake` until `done`, then take over from `trailing`.

    The answer is S0, S1 and S2 at once, in the form of C1.
    """

    def _answer(self, packet: bytes) -> bytes:
        scheme = None if packet[4:_HEADER] == bytes(4) else find_scheme(packet)
        if scheme is not None:
            return _VERSION + answer_with_digest(packet, scheme, self._random)
        return _VERSION + _ZERO_HEADER + self._random(_PACKET - _HEADER) + packet


class ClientHandshake(_Handshake):
    """The client's side in the plain form: send `start()`, feed `receive_handshake` until `done`. The answer is C2."""

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
