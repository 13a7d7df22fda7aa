"""The digest form of the handshake, which Flash Player 9 introduced and Adobe never specified.

C1 and S1 carry an HMAC-SHA256 of themselves at a place that their own bytes determine, in one of two
schemes.  It stands apart from the order of the packets because it is pure arithmetic on one packet.
"""

import hmac
from collections.abc import Callable

_PACKET = 1536
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


def answer(c1: bytes, scheme: int, random: Callable[[int], bytes]) -> bytes:
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
