"""The bytes that all watchers share."""

import pytest

from mmids_trio.fanout.stream_log import LogEntry
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.chunks import ChunkReader
from mmids_trio.rtmp.protocol.message import Message
from mmids_trio.rtmp.protocol.outgoing import OUTGOING_CHUNK_SIZE
from mmids_trio.rtmp.rendering import RtmpRendering, for_message_stream

AUDIO, VIDEO, OTHER = MediaKind.AUDIO, MediaKind.VIDEO, MediaKind.OTHER


def packet(kind: MediaKind, data: bytes, codec: str | None = None) -> MediaPacket:
    return MediaPacket(StreamId("s"), kind, 0, data, codec, is_sequence_header=True)


def elsewhere(entry: LogEntry) -> bytes:
    readdress = for_message_stream(0x01020304)
    assert readdress is not None
    return readdress(entry)


def read(data: bytes) -> list[Message]:
    reader = ChunkReader()
    reader.chunk_size = OUTGOING_CHUNK_SIZE
    return reader.read_messages(data)


@pytest.mark.parametrize(("kind", "message_type", "chunk_stream"), [(AUDIO, 8, 4), (VIDEO, 9, 6), (OTHER, 18, 5)])
@pytest.mark.parametrize("timestamp", [0, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**32 - 1])
@pytest.mark.parametrize("size", [1, 65_536, 65_537, 200_000])
def test_a_packet_is_one_message_that_depends_on_nothing_before(
    kind: MediaKind, message_type: int, chunk_stream: int, timestamp: int, size: int
) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    data = RtmpRendering().packet(packet(kind, payload[:size]), timestamp)
    assert data[0] == chunk_stream  # type 0
    assert read(data) == [Message(message_type, 1, timestamp, payload[:size], chunk_stream)]
    renamed = elsewhere(LogEntry(data, kind, timestamp))
    assert read(renamed) == [Message(message_type, 0x01020304, timestamp, payload[:size], chunk_stream)]


def test_extended_timestamps_are_repeated_in_every_chunk() -> None:
    data = RtmpRendering().packet(packet(VIDEO, b"\0" * 150_000), 0x12345678)
    assert data.count(bytes.fromhex("12345678")) == 3
    assert data.count(bytes.fromhex("c612345678")) == 2


def test_timestamps_are_taken_modulo_32_bits() -> None:
    rendering = RtmpRendering()
    assert rendering.packet(packet(VIDEO, b"x"), 2**32 + 5) == rendering.packet(packet(VIDEO, b"x"), 5)


def test_begin_and_end_name_their_message_stream() -> None:
    rendering = RtmpRendering()
    for event, data in ((0, rendering.stream_begin()), (1, rendering.stream_end())):
        assert read(data) == [Message(4, 0, 0, bytes([0, event, 0, 0, 0, 1]), 2)]
        renamed = elsewhere(LogEntry(data, None, 0))
        assert read(renamed) == [Message(4, 0, 0, bytes([0, event, 1, 2, 3, 4]), 2)]


def test_metadata_is_an_ecma_array() -> None:
    (message,) = read(RtmpRendering().metadata({"width": 640.0}, 77))
    name, values = amf.decode_all(message.payload)
    assert (message.type_id, message.stream_id, message.timestamp) == (18, 1, 77)
    assert name == "onMetaData"
    assert isinstance(values, amf.EcmaArray)
    assert values == {"width": 640.0}
