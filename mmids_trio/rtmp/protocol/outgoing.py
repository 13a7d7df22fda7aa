"""Bytes on their way out of a connection, until its owner takes them."""

from attrs import define, field

from mmids_trio.rtmp.protocol.chunk_writer import ChunkWriter
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

    def take(self) -> bytes:
        """Everything queued, oldest first; the queue is empty afterwards."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data
