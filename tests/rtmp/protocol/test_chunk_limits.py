"""What the reader refuses, and what it holds for a peer that means harm."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import limits
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import Message

LARGEST_CHUNKS = bytes.fromhex("02 000000 000004 01 00000000 00ffffff")


def header(length: int, type_id: int, chunk_stream_id: int = 3) -> bytes:
    return bytes([chunk_stream_id]) + bytes(3) + length.to_bytes(3, "big") + bytes([type_id]) + bytes(4)


@pytest.mark.parametrize(
    ("type_id", "limit"),
    [
        *((type_id, limits.MAX_CONTROL) for type_id in range(1, 7)),
        *((type_id, limits.MAX_COMMAND) for type_id in (17, 20)),
        *((type_id, limits.MAX_DATA) for type_id in (15, 18)),
    ],
)
def test_a_message_above_the_limit_of_its_type_is_refused_at_its_header(type_id: int, limit: int) -> None:
    assert ChunkReader().read_messages(header(limit, type_id)) == []
    with pytest.raises(ProtocolError, match=f"type {type_id} with {limit + 1} bytes; up to {limit} are"):
        ChunkReader().read_messages(header(limit + 1, type_id))


def test_a_type_1_header_cannot_go_around_the_limit() -> None:
    reader = ChunkReader()
    reader.read_messages(header(1, 20) + b"a")
    with pytest.raises(ProtocolError, match="type 20"):
        reader.read_messages(bytes.fromhex("43 000000 ffffff 14"))


def test_media_may_have_all_that_the_length_field_can_say() -> None:
    reader = ChunkReader()
    payload = bytes(limits.MAX_MESSAGE)
    assert reader.read_messages(LARGEST_CHUNKS + header(limits.MAX_MESSAGE, 9) + payload)[1].payload == payload


@pytest.mark.parametrize("kind", [2, 3])
@pytest.mark.parametrize("chunk_stream_id", [3, 8, 63])
def test_a_chunk_stream_must_not_begin_without_a_full_header(kind: int, chunk_stream_id: int) -> None:
    with pytest.raises(ProtocolError, match=f"stream {chunk_stream_id} begins with a type {kind} header"):
        ChunkReader().read_messages(bytes([kind << 6 | chunk_stream_id]) + bytes(20))


@pytest.mark.parametrize("kind", [2, 3])
def test_the_control_chunk_stream_must_not_begin_with_less_than_type_1(kind: int) -> None:
    with pytest.raises(ProtocolError, match="stream 2 begins"):
        ChunkReader().read_messages(bytes([kind << 6 | 2]) + bytes(20))


@pytest.mark.parametrize("size", ["00000000", "80000000", "ffffffff"])
def test_an_impossible_chunk_size_is_refused(size: str) -> None:
    with pytest.raises(ProtocolError, match="chunk size"):
        ChunkReader().read_messages(header(4, 1, 2) + bytes.fromhex(size))


@pytest.mark.parametrize("type_id", [1, 2])
def test_a_control_message_that_is_too_short_is_refused(type_id: int) -> None:
    with pytest.raises(ProtocolError, match="with 3 bytes, 4 are needed"):
        ChunkReader().read_messages(header(3, type_id, 2) + bytes(3))


def test_chunk_streams_are_limited() -> None:
    reader = ChunkReader()
    wire = [bytes([0, index]) + header(0, 8)[1:] for index in range(limits.MAX_CHUNK_STREAMS + 1)]
    assert len(reader.read_messages(b"".join(wire[:-1]))) == limits.MAX_CHUNK_STREAMS
    assert len(reader.read_messages(wire[0])) == 1
    with pytest.raises(ProtocolError, match="more than 64 chunk streams"):
        reader.read_messages(wire[-1])


def test_the_unfinished_messages_of_all_chunk_streams_together_are_limited() -> None:
    reader = ChunkReader()
    mebibyte = bytes(1 << 20)
    reader.read_messages(header(4, 1, 2) + (1 << 20).to_bytes(4, "big"))
    chunks = [header(limits.MAX_MESSAGE, 9, lane) + mebibyte for lane in range(3, 35)]
    for chunk in chunks:
        reader.read_messages(chunk)
    with pytest.raises(ProtocolError, match="bytes of unfinished messages"):
        reader.read_messages(b"\xc3" + mebibyte)


@pytest.mark.thorough
def test_finished_dropped_and_aborted_messages_no_longer_count_as_held() -> None:
    reader = ChunkReader()
    half = bytes(limits.MAX_MESSAGE // 2)
    reader.read_messages(header(4, 1, 2) + len(half).to_bytes(4, "big"))
    begin = header(limits.MAX_MESSAGE, 9) + half
    for _ in range(3):
        assert reader.read_messages(begin) == []  # drops the one before
        assert len(reader.read_messages(b"\xc3" + half + b"\xc3\x00")) == 1
        assert reader.read_messages(begin) == []
        assert len(reader.read_messages(header(4, 2, 2) + b"\x00\x00\x00\x03")) == 1
        assert reader.read_messages(begin) == []
    assert reader.dropped_messages == 2


def test_an_announced_length_allocates_nothing() -> None:
    reader = ChunkReader()
    reader.read_messages(LARGEST_CHUNKS)
    tracemalloc.start()
    try:
        reader.read_messages(header(limits.MAX_MESSAGE, 9) + bytes(10))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000


@pytest.mark.thorough
def test_bytes_are_held_once_even_with_the_smallest_chunks(reference_writer: Callable[[], Any]) -> None:
    writer = reference_writer()
    writer.chunk_size = 1
    wire = writer.whole(Message(9, 1, 0, bytes(50_000), 3))[:-1]
    reader = ChunkReader()
    reader.read_messages(header(4, 1, 2) + b"\x00\x00\x00\x01")
    tracemalloc.start()
    try:
        for start in range(0, len(wire), 16):
            assert reader.read_messages(wire[start : start + 16]) == []
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 49_000 < held < 150_000


def test_a_limit_can_be_raised_for_who_is_trusted_with_more() -> None:
    reader = ChunkReader()
    reader.max_buffered = 1000
    begun = bytes([4, 0, 0, 0, 0, 255, 255, 9, 1, 0, 0, 0]) + bytes(128)
    reader.read_messages(begun)
    assert reader.unfinished == 128
    rest = (b"\xc4" + bytes(128)) * 10
    with pytest.raises(ProtocolError, match="more than 1000 bytes"):
        reader.read_messages(rest)
