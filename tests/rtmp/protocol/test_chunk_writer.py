"""What the writer writes, byte by byte; that the reader understands it is a property elsewhere."""

import pytest

from mmids_trio.rtmp.protocol.chunks import ChunkWriter, serialize
from mmids_trio.rtmp.protocol.message import Message


def test_a_short_message_is_one_chunk_with_a_full_header() -> None:
    written = ChunkWriter().write(Message(20, 0x01020304, 1000, b"ab", 3))
    assert written == bytes.fromhex("03 0003e8 000002 14 04030201") + b"ab"


def test_a_long_message_goes_on_in_chunks_with_empty_headers() -> None:
    payload = bytes(range(256)) + b"tail"
    written = ChunkWriter().write(Message(9, 1, 0, payload, 6))
    head = bytes.fromhex("06 000000 000104 09 01000000")
    assert written == head + payload[:128] + b"\xc6" + payload[128:256] + b"\xc6tail"


def test_a_message_of_exactly_one_chunk_has_no_further_header() -> None:
    assert len(ChunkWriter().write(Message(9, 1, 0, bytes(128), 6))) == 12 + 128


def test_an_empty_message_is_a_header() -> None:
    assert serialize(4, 8, 1, 5, b"", 128) == bytes.fromhex("04 000005 000000 08 01000000")


@pytest.mark.parametrize("timestamp", [0xFFFFFF, 0x01020304, 0xFFFFFFFF])
def test_an_extended_timestamp_is_repeated_in_every_chunk(timestamp: int) -> None:
    extended = timestamp.to_bytes(4, "big")
    written = serialize(6, 9, 1, timestamp, b"abcde", 2)
    head = bytes.fromhex("06 ffffff 000005 09 01000000")
    assert written == head + extended + b"ab\xc6" + extended + b"cd\xc6" + extended + b"e"


def test_the_largest_plain_timestamp_is_not_extended() -> None:
    assert serialize(6, 9, 1, 0xFFFFFE, b"", 2) == bytes.fromhex("06 fffffe 000000 09 01000000")


def test_timestamps_are_taken_modulo_32_bits() -> None:
    assert serialize(6, 9, 1, 2**32 + 5, b"", 2) == serialize(6, 9, 1, 5, b"", 2)


def test_a_new_chunk_size_is_announced_in_the_old_one_and_then_used() -> None:
    writer = ChunkWriter()
    assert writer.chunk_size == 128
    assert writer.set_chunk_size(2) == bytes.fromhex("02 000000 000004 01 00000000 00000002")
    assert writer.chunk_size == 2
    assert writer.set_chunk_size(60000) == bytes.fromhex("02 000000 000004 01 00000000 0000 c2 ea60")
    assert len(writer.write(Message(9, 1, 0, bytes(60000), 6))) == 12 + 60000


@pytest.mark.parametrize("size", [0, -1, 0x1000000])
def test_a_chunk_size_that_cannot_be_is_refused(size: int) -> None:
    writer = ChunkWriter()
    with pytest.raises(ValueError, match="chunk size"):
        writer.set_chunk_size(size)
    assert writer.chunk_size == 128


@pytest.mark.parametrize("chunk_stream_id", [0, 1, 64])
def test_a_chunk_stream_id_that_some_peers_refuse_is_not_written(chunk_stream_id: int) -> None:
    with pytest.raises(ValueError, match="2 to 63"):
        serialize(chunk_stream_id, 9, 1, 0, b"", 128)


def test_a_payload_longer_than_the_length_field_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="16777215 bytes"):
        serialize(6, 9, 1, 0, bytes(0x1000000), 128)
