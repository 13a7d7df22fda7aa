"""Chunk streams that begin without a full header: what can be known of the message is taken for granted."""

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.client_connection import ClientConnection, ClientPhase
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.oddities import Oddities, Oddity
from tests.support.rtmp import zeros

VIDEO = bytes.fromhex("06 0003e8 000003 09 01000000") + b"vid"
"""Type 0, at 1000 ms, of message stream 1."""

BEGINNINGS = {
    "type 1": (bytes.fromhex("44 000017 000002 08") + b"au", Message(8, 1, 23, b"au", 4)),
    "type 1 with an extended delta": (
        bytes.fromhex("44 ffffff 000002 08 01000000") + b"au",
        Message(8, 1, 1 << 24, b"au", 4),
    ),
    "type 1 in the long form": (bytes.fromhex("40 24 000017 000002 08") + b"au", Message(8, 1, 23, b"au", 100)),
    "type 2": (bytes.fromhex("84 000028") + b"new", Message(9, 1, 1040, b"new", 4)),
    "type 3": (bytes.fromhex("c4") + b"new", Message(9, 1, 1000, b"new", 4)),
}


@pytest.mark.parametrize("name", list(BEGINNINGS))
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_chunk_stream_may_begin_without_a_full_header_behind_a_frame(name: str, size: int) -> None:
    wire, expected = BEGINNINGS[name]
    oddities = Oddities()
    reader = ChunkReader(oddities)
    data = VIDEO + wire + VIDEO
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    _, odd, after = [message for piece in pieces for message in reader.read_messages(piece)]
    assert odd == expected
    assert after == Message(9, 1, 1000, b"vid", 6)
    assert oddities.totals[Oddity.CHUNK_STREAM] == 1


def test_deltas_go_on_from_a_type_1_beginning() -> None:
    reader = ChunkReader()
    wire = bytes.fromhex("44 000017 000002 08") + b"a1" + bytes.fromhex("84 000015") + b"a2" + b"\xc4a3"
    assert [message.timestamp for message in reader.read_messages(VIDEO + wire)[1:]] == [23, 44, 65]


def test_the_very_first_chunk_may_have_a_type_1_header() -> None:
    [message] = ChunkReader().read_messages(bytes.fromhex("43 000000 000003 14") + b"\x02\0\0")
    assert message == Message(20, 0, 0, b"\x02\0\0", 3)


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize(
    "before",
    [
        b"",
        bytes.fromhex("03 000000 000003 14 00000000") + b"\x05\x05\x05",  # a command
        bytes.fromhex("06 000000 000100 09 01000000") + bytes(128),  # a frame under way
    ],
)
def test_a_length_that_nobody_has_said_is_not_made_up(kind: int, before: bytes) -> None:
    reader = ChunkReader()
    reader.read_messages(before)
    with pytest.raises(ProtocolError, match=f"stream 9 begins with a type {kind} header"):
        reader.read_messages(bytes([kind << 6 | 9]) + bytes(20))


def test_a_presumed_header_cannot_go_around_the_limits() -> None:
    with pytest.raises(ProtocolError, match="type 20"):
        ChunkReader().read_messages(bytes.fromhex("43 000000 ffffff 14"))


def test_a_server_may_answer_on_a_chunk_stream_that_begins_with_type_1() -> None:
    client = ClientConnection(zeros, "live", "rtmp://server/live")
    client.data_to_send()
    result = b"\x02\0\7_result\0\x3f\xf0\0\0\0\0\0\0\x05\x03\0\0\x09"
    header = bytes.fromhex("43 000000") + len(result).to_bytes(3, "big") + b"\x14"
    client.receive_data(b"\x03" + bytes(3072) + header + result)
    assert client.phase is ClientPhase.CONNECTED
    assert client.oddities.totals[Oddity.CHUNK_STREAM] == 1
