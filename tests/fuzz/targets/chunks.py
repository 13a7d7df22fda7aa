"""Invariant: chunks in any pieces give the same messages, or a `ProtocolError`; and what is written is read back.

The first byte is the size of the pieces.
"""

from mmids_trio.rtmp.protocol.chunks import ChunkReader, ChunkWriter
from mmids_trio.rtmp.protocol.message import Message
from tests.fuzz.reading import fed, pieces

SET_CHUNK_SIZE, ABORT = 1, 2

CALLS, CALLS_PER_BYTE = 1000, 60


def fuzz_one(data: bytes) -> None:
    """Read whole, read in pieces, write and read."""
    size, wire = data[:1], data[1:]
    reader = ChunkReader()
    messages = fed(reader.read_messages, [wire])
    assert fed(ChunkReader().read_messages, pieces(wire, size[0] if size else 0)) == messages
    if messages is not None:
        assert reader.unfinished <= len(wire)
        assert sum(len(message.payload) for message in messages) <= len(wire)
        _write_and_read([message for message in messages if message.type_id not in (SET_CHUNK_SIZE, ABORT)])


def _write_and_read(messages: list[Message]) -> None:
    writer = ChunkWriter()
    plain = [Message(one.type_id, one.stream_id, one.timestamp, one.payload, 2 + one.type_id % 8) for one in messages]
    assert fed(ChunkReader().read_messages, [writer.write(message) for message in plain]) == plain
