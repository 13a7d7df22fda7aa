"""The digest form as a client sees it, with a check of the server's answer written for these tests alone."""

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmids_trio.rtmp.protocol.handshake import ServerHandshake
from tests.support.effort import some_of

TAIL = bytes.fromhex("F0EEC24A 8068BEE8 2E00D0D1 029E7E57 6EEC5D2D 29806FAB 93B8E636 CFEB31AE")
PLAYER_KEY = b"Genuine Adobe Flash Player 001"
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
VERSION = b"\x80\x00\x07\x02"


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """RFC 2104 by its definition."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key.ljust(64, b"\x00")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()


def digest_place(packet: bytes, base: int) -> int:
    total = packet[base] + packet[base + 1] + packet[base + 2] + packet[base + 3]
    return base + 4 + total % 728


def digest_of(packet: bytes, base: int, key: bytes) -> bytes:
    place = digest_place(packet, base)
    return hmac_sha256(key, packet[:place] + packet[place + 32 :])


def digest_in(packet: bytes, base: int) -> bytes:
    place = digest_place(packet, base)
    return packet[place : place + 32]


def signed_c1(base: int, noise: Random) -> bytes:
    c1 = bytes(4) + VERSION + noise.randbytes(1528)
    place = digest_place(c1, base)
    return c1[:place] + digest_of(c1, base, PLAYER_KEY) + c1[place + 32 :]


def check_answer(answer: bytes, c1: bytes, base: int) -> None:
    assert len(answer) == 1 + 2 * 1536
    s1, s2 = answer[1:1537], answer[1537:]
    assert answer[0] == 3
    assert s1[4:8] != bytes(4)
    assert digest_in(s1, base) == digest_of(s1, base, SERVER_KEY)
    key = hmac_sha256(SERVER_KEY + TAIL, digest_in(c1, base))
    assert s2[-32:] == hmac_sha256(key, s2[:-32])


@pytest.mark.parametrize("base", [772, 8])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=some_of(50), deadline=None)
def test_the_answer_convinces_a_client_of_either_scheme(base: int, seed: int) -> None:
    c1 = signed_c1(base, Random(seed))
    check_answer(ServerHandshake(Random(seed + 1).randbytes).receive_handshake(b"\x03" + c1), c1, base)


@pytest.mark.thorough
@pytest.mark.parametrize("base", [772, 8])
def test_the_answer_is_the_same_at_every_split(base: int) -> None:
    c1 = signed_c1(base, Random(1))
    wire = b"\x03" + c1 + bytes(1536) + b"connect"
    whole = ServerHandshake(Random(2).randbytes).receive_handshake(wire)
    check_answer(whole, c1, base)
    for place in range(len(wire) + 1):
        server = ServerHandshake(Random(2).randbytes)
        assert server.receive_handshake(wire[:place]) + server.receive_handshake(wire[place:]) == whole
        assert server.done
        assert server.trailing == b"connect"


@pytest.mark.parametrize("base", [772, 8])
@pytest.mark.parametrize("filler", [b"\x00", b"\xff"])
def test_a_digest_fits_at_the_first_and_last_places(base: int, filler: bytes) -> None:
    noise = Random(3)
    c1 = bytearray(bytes(4) + VERSION + noise.randbytes(1528))
    c1[base : base + 4] = filler * 4 if filler == b"\x00" else b"\xff\xff\xd9\x00"  # sums of 0 and 727
    place = digest_place(bytes(c1), base)
    c1[place : place + 32] = digest_of(bytes(c1), base, PLAYER_KEY)
    check_answer(ServerHandshake(noise.randbytes).receive_handshake(b"\x03" + c1), bytes(c1), base)


@given(seed=st.integers(0, 2**32))
@settings(deadline=None)
def test_a_version_without_a_digest_gets_the_plain_answer(seed: int) -> None:
    c1 = bytes(4) + VERSION + Random(seed).randbytes(1528)
    answer = ServerHandshake(bytes).receive_handshake(b"\x03" + c1)
    assert answer == b"\x03" + bytes(1536) + c1


@pytest.mark.parametrize("base", [772, 8])
def test_a_damaged_digest_gets_the_plain_answer(base: int) -> None:
    c1 = bytearray(signed_c1(base, Random(4)))
    c1[-1] ^= 1
    assert ServerHandshake(bytes).receive_handshake(b"\x03" + c1)[1537:] == c1
