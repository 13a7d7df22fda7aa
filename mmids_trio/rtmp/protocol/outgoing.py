"""Bytes on their way out: the queue of one connection, and ready-made ones for who serialises a stream for many.

Every message begins with a full (type 0) header, so ready-made bytes may be put between any two messages of a
connection that was told the chunk size.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from attrs import define, field

from mmids_trio.rtmp.protocol import amf
from mmids_trio.rtmp.protocol.chunks import ChunkWriter, serialize
from mmids_trio.rtmp.protocol.commands import data_message, status_message
from mmids_trio.rtmp.protocol.control import STREAM_BEGIN, STREAM_EOF, user_control
from mmids_trio.rtmp.protocol.message import Message


@define
class Outgoing:
    """A queue of bytes; it grows only by what the peer asks for and is emptied after every read.

    Every message is written with a full header, so the owner may put ready-made bytes (see `rendering`)
    between what it took on two occasions.
    """

    _writer: ChunkWriter = field(factory=ChunkWriter, init=False)
    _parts: list[bytes] = field(factory=list, init=False)

    def send(self, *messages: Message) -> None:
        """Queue `messages` in order."""
        self._parts.extend(map(self._writer.write, messages))

    def send_raw(self, data: bytes) -> None:
        """Queue bytes that are no messages: the handshake."""
        self._parts.append(data)

    def announce_chunk_size(self, size: int) -> None:
        """Queue Set Chunk Size; what follows is written in chunks of `size` bytes."""
        self._parts.append(self._writer.set_chunk_size(size))

    @property
    def has_bytes(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._parts)

    def take_bytes(self) -> bytes:
        """Everything queued, oldest first; the queue is empty afterwards."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


OUTGOING_CHUNK_SIZE = 65_536
"""Bytes; announced with the answer to `connect`. MediaMTX writes the same size, every client takes it."""


SET_DATA_FRAME = ("@setDataFrame", "onMetaData")
"""How an encoder's metadata begin."""


def render(message: Message, chunk_size: int = OUTGOING_CHUNK_SIZE) -> bytes:
    """`message` as chunks of at most `chunk_size` bytes of payload."""
    return serialize(
        message.chunk_stream_id,
        message.type_id,
        message.stream_id,
        message.timestamp,
        message.payload,
        chunk_size,
    )


def stream_begin(stream_id: int, chunk_size: int = OUTGOING_CHUNK_SIZE) -> bytes:
    """StreamBegin: media for message stream `stream_id` follows (RTMP 1.0 §7.1.7)."""
    return render(user_control(STREAM_BEGIN, stream_id), chunk_size)


def stream_eof(stream_id: int, chunk_size: int = OUTGOING_CHUNK_SIZE) -> bytes:
    """StreamEOF: no media for now. Players stay and wait, unlike after `play_stop`."""
    return render(user_control(STREAM_EOF, stream_id), chunk_size)


def play_stop(stream_id: int, description: str = "Stopped playing.", chunk_size: int = OUTGOING_CHUNK_SIZE) -> bytes:
    """`NetStream.Play.Stop`: it is over; FFmpeg and most others end the stream by it."""
    return render(status_message(stream_id, "status", "NetStream.Play.Stop", description), chunk_size)


def metadata_message(
    values: Mapping[str, object],
    timestamp: int = 0,
    stream_id: int = 1,
    chunk_size: int = OUTGOING_CHUNK_SIZE,
    handlers: Sequence[str] = ("onMetaData",),
) -> bytes:
    """`onMetaData` as an ECMA array, the only form that FFmpeg reads; `timestamp` in milliseconds."""
    array = amf.EcmaArray(cast(Mapping[str, amf.AmfValue], values))
    message = data_message(stream_id, timestamp, *handlers, array)
    return render(message, chunk_size)
