"""Both ends of the plain handshake, and of it what is the same in the digest form."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.handshake import ClientHandshake, ServerHandshake


def counting(size: int) -> bytes:
    return bytes(index % 251 for index in range(size))


C1 = b"\x00\x01\x02\x03" + bytes(4) + b"c" * 1528
C2 = b"?" * 1536


def test_the_server_answers_c1_at_once_with_s0_s1_and_s2() -> None:
    server = ServerHandshake(counting)
    assert server.receive_handshake(b"\x03" + C1[:-1]) == b""
    assert server.receive_handshake(C1[-1:]) == b"\x03" + bytes(8) + counting(1528) + C1
    assert not server.done


def test_the_server_is_done_with_c2_whatever_it_says() -> None:
    server = ServerHandshake(counting)
    server.receive_handshake(b"\x03" + C1)
    assert server.receive_handshake(C2) == b""
    assert server.done
    assert server.trailing == b""


def test_what_follows_c2_in_one_segment_is_kept() -> None:
    server = ServerHandshake(counting)
    assert len(server.receive_handshake(b"\x03" + C1 + C2 + b"connect")) == 1 + 2 * 1536
    assert server.done
    assert server.receive_handshake(b", more") == b""
    assert server.trailing == b"connect, more"


@pytest.mark.thorough
def test_the_server_takes_bytes_at_every_split() -> None:
    wire = b"\x03" + C1 + C2 + b"connect"
    for place in range(len(wire) + 1):
        server = ServerHandshake(counting)
        sent = server.receive_handshake(wire[:place]) + server.receive_handshake(wire[place:])
        assert (sent[-1536:], server.done, server.trailing) == (C1, True, b"connect")


def test_the_server_takes_bytes_one_by_one() -> None:
    server = ServerHandshake(counting)
    wire = b"\x03" + C1 + C2
    sent = [server.receive_handshake(wire[index : index + 1]) for index in range(len(wire))]
    assert [index for index, answer in enumerate(sent) if answer] == [1536]
    assert server.done


@pytest.mark.parametrize("place", [0, 1, 2, 500, 1536, 1537, 1538, 3072, 3073])
def test_client_and_server_agree_at_a_split(place: int) -> None:
    client, server = ClientHandshake(counting), ServerHandshake(counting)
    sent = server.receive_handshake(client.start())
    received = sent + b"chunks"
    answer = client.receive_handshake(received[:place]) + client.receive_handshake(received[place:])
    assert answer == sent[1:1537]
    assert client.done
    assert client.trailing == b"chunks"
    server.receive_handshake(answer)
    assert server.done


def test_the_client_sends_c2_before_s2_is_in_but_is_not_done() -> None:
    client = ClientHandshake(counting)
    assert client.start() == b"\x03" + bytes(8) + counting(1528)
    assert client.receive_handshake(b"\x03" + C1) == C1
    assert not client.done
    assert client.receive_handshake(C2[:-1]) == b""
    assert not client.done
    client.receive_handshake(C2[-1:])
    assert client.done


@pytest.mark.parametrize("side", [ServerHandshake, ClientHandshake])
@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"\x06", "0x06: RTMPE"),
        (b"\x08", "0x08: RTMPE"),
        (b"\x16", "0x16: TLS on a plain RTMP port"),
        (b"G", "letter 'G': probably HTTP"),
        (b"p", "letter 'p': probably HTTP"),
        (b"\x00", "0x00: not a version"),
        (b"\xff", "0xff: not a version"),
        ("ª".encode("latin-1"), "0xaa: not a version"),
    ],
)
def test_the_first_byte_tells_what_else_a_peer_speaks(
    side: type[ServerHandshake] | type[ClientHandshake], first: bytes, name: str
) -> None:
    handshake = side(counting)
    assert handshake.receive_handshake(b"") == b""
    with pytest.raises(ProtocolError, match=name):
        handshake.receive_handshake(first)
