"""The reader against two writers, as properties over messages, headers, chunk sizes and splits."""

from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.chunks import ChunkReader, ChunkWriter
from mmids_trio.rtmp.protocol.message import Message
from tests.support.effort import some_of

Conversations = SearchStrategy[tuple[list[Message], bytes]]
Pieces = Callable[[bytes, Iterable[int]], list[bytes]]

any_message = st.builds(
    Message,
    type_id=st.sampled_from([0, 8, 9, 15, 18, 20, 22, 255]),
    stream_id=st.integers(0, 2**32 - 1),
    timestamp=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=700),
    chunk_stream_id=st.integers(2, 63),
)


def read(wire: Iterable[bytes]) -> list[Message]:
    reader = ChunkReader()
    return [message for piece in wire for message in reader.read_messages(piece)]


@given(data=st.data(), places=st.lists(st.integers(0, 5000), max_size=20))
@settings(max_examples=some_of(300), deadline=None)
def test_whatever_headers_and_order_a_peer_chooses_the_messages_come_out_at_any_split(
    conversations: Conversations, pieces: Pieces, data: DataObject, places: list[int]
) -> None:
    messages, wire = data.draw(conversations)
    assert read([wire]) == messages
    assert read(pieces(wire, places)) == messages


@given(data=st.data())
@settings(max_examples=some_of(60), deadline=None)
def test_the_messages_come_out_byte_by_byte(conversations: Conversations, data: DataObject) -> None:
    messages, wire = data.draw(conversations)
    assert read(wire[index : index + 1] for index in range(len(wire))) == messages


@given(
    sizes_and_messages=st.lists(st.tuples(st.integers(1, 300), any_message), max_size=5),
    places=st.lists(st.integers(0, 5000), max_size=8),
)
@settings(deadline=None)
def test_what_the_writer_writes_the_reader_reads(
    pieces: Pieces, sizes_and_messages: list[tuple[int, Message]], places: list[int]
) -> None:
    writer = ChunkWriter()
    wire = b""
    for size, message in sizes_and_messages:
        wire += writer.set_chunk_size(size) + writer.write(message)
    got = [message for message in read(pieces(wire, places)) if message.type_id != 1]
    assert got == [message for _, message in sizes_and_messages]


@given(st.lists(st.binary(max_size=60), max_size=6))
@settings(max_examples=some_of(500), deadline=None)
def test_random_bytes_yield_messages_or_a_protocol_error(wire: list[bytes]) -> None:
    try:
        messages = read(wire)
    except ProtocolError:
        return
    assert sum(len(message.payload) for message in messages) <= sum(map(len, wire))


@given(data=st.data(), damage=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(deadline=None)
def test_damaged_chunks_yield_messages_or_a_protocol_error(
    conversations: Conversations, data: DataObject, damage: list[tuple[int, int]]
) -> None:
    wire = bytearray(data.draw(conversations)[1] + b"\x03")
    for place, value in damage:
        wire[place % len(wire)] = value
    try:
        messages = read([bytes(wire)])
    except ProtocolError:
        return
    assert sum(len(message.payload) for message in messages) <= len(wire)
