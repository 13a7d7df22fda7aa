"""What the reader makes of chunks written out by hand, one rule of RTMP 1.0 §5.3 at a time."""

import pytest

from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import Message

FULL = bytes.fromhex("03 0003e8 000002 08 01000000") + b"ab"
"""Chunk stream 3, type 0: at 1000 ms, 2 bytes of audio on message stream 1."""


def read(*wire: bytes) -> list[Message]:
    reader = ChunkReader()
    return [message for piece in wire for message in reader.read_messages(piece)]


def timestamps(wire: bytes) -> list[int]:
    return [message.timestamp for message in read(wire)]


def test_a_type_0_header_says_everything() -> None:
    assert read(FULL) == [Message(8, 1, 1000, b"ab", 3)]


def test_a_message_is_returned_by_the_call_that_completes_it() -> None:
    reader = ChunkReader()
    assert reader.read_messages(FULL[:-1]) == []
    assert reader.read_messages(FULL[-1:] + FULL) == [Message(8, 1, 1000, b"ab", 3)] * 2
    assert reader.read_messages(b"") == []


def test_a_type_1_header_keeps_the_message_stream_and_adds_its_delta() -> None:
    wire = FULL + bytes.fromhex("43 000021 000003 09") + b"xyz"
    assert read(wire)[1] == Message(9, 1, 1033, b"xyz", 3)


def test_a_type_2_header_keeps_all_but_the_timestamp() -> None:
    assert read(FULL + bytes.fromhex("83 000021") + b"cd")[1] == Message(8, 1, 1033, b"cd", 3)


def test_type_3_after_type_0_begins_a_message_of_the_same_timestamp() -> None:
    assert timestamps(FULL + b"\xc3cd" + b"\xc3ef") == [1000, 1000, 1000]


@pytest.mark.parametrize("header", ["43 000021 000002 08", "83 000021"])
def test_type_3_after_a_delta_adds_it_again_each_time(header: str) -> None:
    wire = FULL + bytes.fromhex(header) + b"cd" + b"\xc3ef" + b"\xc3gh"
    assert timestamps(wire) == [1000, 1033, 1066, 1099]


def test_type_3_in_the_middle_of_a_message_adds_nothing() -> None:
    long = bytes.fromhex("43 000021 000084 08") + bytes(128) + b"\xc3" + bytes(4)
    assert timestamps(FULL + long + FULL) == [1000, 1033, 1000]


def test_a_type_0_header_ends_the_adding() -> None:
    wire = FULL + bytes.fromhex("83 000021") + b"cd" + FULL + b"\xc3ef"
    assert timestamps(wire) == [1000, 1033, 1000, 1000]


def test_timestamps_wrap_at_32_bits() -> None:
    extended = bytes.fromhex("03 ffffff 000001 08 01000000 fffffff0") + b"a"
    assert timestamps(extended + bytes.fromhex("83 000020") + b"b") == [0xFFFFFFF0, 0x10]


def test_a_delta_may_be_extended() -> None:
    assert timestamps(FULL + bytes.fromhex("83 ffffff 01000000") + b"cd") == [1000, 0x010003E8]


@pytest.mark.parametrize(
    ("header", "chunk_stream_id"),
    [("3f", 63), ("0000", 64), ("00ff", 319), ("010001", 320), ("01ffff", 65599), ("010000", 64)],
)
def test_chunk_stream_ids_come_in_three_lengths(header: str, chunk_stream_id: int) -> None:
    wire = bytes.fromhex(header) + FULL[1:]
    assert read(*(wire[index : index + 1] for index in range(len(wire)))) == [
        Message(8, 1, 1000, b"ab", chunk_stream_id)
    ]


def test_a_chunk_stream_is_the_same_whatever_the_length_of_its_id() -> None:
    assert read(bytes.fromhex("0000") + FULL[1:] + bytes.fromhex("c10000") + b"cd")[1].payload == b"cd"


EXTENDED = bytes.fromhex("04 ffffff 000104 09 01000000 01020304")
"""Chunk stream 4: 260 bytes of video at 0x01020304 ms, in three chunks."""


@pytest.mark.parametrize("repeated", [b"\x01\x02\x03\x04", b""], ids=["repeated", "not repeated"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_type_3_chunks_may_repeat_the_extended_timestamp_or_not(repeated: bytes, size: int) -> None:
    payload = bytes(range(3, 256)) + bytes(range(3, 10))
    rest = [b"\xc4" + repeated + payload[start : start + 128] for start in (128, 256)]
    wire = EXTENDED + payload[:128] + b"".join(rest) + FULL
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert read(*pieces) == [Message(9, 1, 0x01020304, payload, 4), Message(8, 1, 1000, b"ab", 3)]


def test_each_chunk_is_looked_at_anew_for_an_extended_timestamp() -> None:
    payload = bytes(range(3, 256)) + bytes(range(3, 10))
    wire = EXTENDED + payload[:128] + b"\xc4" + payload[128:256] + b"\xc4\x01\x02\x03\x04" + payload[256:]
    assert read(wire)[0].payload == payload


def test_a_short_last_chunk_that_begins_like_the_extended_timestamp_is_payload_all_the_same() -> None:
    reader = ChunkReader()
    wire = EXTENDED + bytes(128) + b"\xc4" + bytes(128) + b"\xc4\x01\x02\x03\x7f"
    assert reader.read_messages(wire)[0].payload == bytes(256) + b"\x01\x02\x03\x7f"
    wire = EXTENDED.replace(b"\x01\x04\x09", b"\x01\x01\x09") + bytes(128) + b"\xc4" + bytes(128) + b"\xc4\x01"
    assert reader.read_messages(wire) == []
    assert [message.payload[256:] for message in reader.read_messages(FULL)] == [b"\x01", b""]


@pytest.mark.parametrize("place", [0, 1, 2, 300, 599])
def test_a_chunk_of_another_message_may_stand_anywhere_among_those_of_a_long_one(place: int) -> None:
    payload = bytes(index % 251 for index in range(601 * 128))
    chunks = [b"\xc4" + payload[start : start + 128] for start in range(128, len(payload), 128)]
    chunks.insert(place, FULL)
    begin = bytes.fromhex("04 000000") + len(payload).to_bytes(3, "big") + b"\x09" + bytes(4)
    messages = read(begin + payload[:128] + b"".join(chunks))
    assert [message.type_id for message in messages] == [8, 9]
    assert messages[1].payload == payload


def test_a_whole_timestamp_of_exactly_24_ones_is_extended() -> None:
    assert timestamps(bytes.fromhex("03 ffffff 000001 08 01000000 00ffffff") + b"a") == [0xFFFFFF]


def test_an_empty_message_is_complete_with_its_header() -> None:
    assert read(bytes.fromhex("03 000000 000000 08 01000000") + b"\xc3") == [Message(8, 1, 0, b"", 3)] * 2


def test_set_chunk_size_takes_effect_and_is_returned() -> None:
    reader = ChunkReader()
    announcement = bytes.fromhex("02 000000 000004 01 00000000 00001000")
    long = bytes.fromhex("03 000000 001000 08 01000000") + bytes(4096)
    assert [message.type_id for message in reader.read_messages(announcement + long)] == [1, 8]
    assert reader.chunk_size == 4096


def test_the_chunk_size_may_change_in_the_middle_of_a_message() -> None:
    begin = bytes.fromhex("03 000000 00008a 08 01000000") + bytes(128)
    announcement = bytes.fromhex("02 000000 000004 01 00000000 00000008")
    assert read(begin + announcement + b"\xc3" + bytes(8) + b"\xc3\x00\x00")[1].payload == bytes(138)


def test_an_announced_chunk_size_above_all_message_lengths_counts_as_the_largest() -> None:
    reader = ChunkReader()
    reader.read_messages(bytes.fromhex("02 000000 000004 01 00000000 7fffffff"))
    assert reader.chunk_size == 0xFFFFFF


def test_abort_forgets_the_unfinished_message_and_is_returned() -> None:
    begin = bytes.fromhex("03 000000 000084 08 01000000") + bytes(128)
    abort = bytes.fromhex("02 000000 000004 02 00000000 00000003")
    reader = ChunkReader()
    assert [message.type_id for message in reader.read_messages(begin + abort + FULL)] == [2, 8]
    assert reader.dropped_messages == 0


def test_abort_of_a_chunk_stream_without_a_message_does_nothing() -> None:
    abort = bytes.fromhex("02 000000 000004 02 00000000 00000009")
    assert [message.type_id for message in read(FULL + abort + FULL)] == [8, 2, 8]


@pytest.mark.parametrize("again", [FULL, bytes.fromhex("43 0003e8 000002 08") + b"ab"])
def test_a_new_header_amid_a_message_drops_and_counts_it(again: bytes) -> None:
    begin = bytes.fromhex("03 000000 000084 08 01000000") + bytes(128)
    reader = ChunkReader()
    assert reader.read_messages(begin + again) == [Message(8, 1, 1000, b"ab", 3)]
    assert reader.dropped_messages == 1
    assert reader.read_messages(b"\xc3cd")[0].payload == b"cd"


def test_librtmp_may_begin_the_control_chunk_stream_with_type_1() -> None:
    pong = bytes.fromhex("42 000000 000006 04 0007 00000d0f")
    assert read(pong) == [Message(4, 0, 0, bytes.fromhex("000700000d0f"), 2)]
