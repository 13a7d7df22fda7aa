"""Messages to chunks (RTMP 1.0 §5.3), bytes out only.

The first chunk of a message always carries the full header (type 0), so the bytes of a message depend
on nothing that was written before: the fan-out serialises once for all watchers and lets each of them
join anywhere.  It stands apart from the reader because the two directions share no state.
"""

from struct import Struct

from mmids_trio.rtmp.protocol.limits import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_MESSAGE
from mmids_trio.rtmp.protocol.message import Message

_FIRST_HALF = Struct(">II")  # chunk stream (1 byte) and timestamp (3), length (3) and type (1)
_SECOND_HALF = Struct("<I")  # message stream, the one little-endian field of RTMP
_EXTENDED = Struct(">I")

_EXTENDED_MARK = 0xFFFFFF
_CONTINUATION = 0xC0
_FIRST_CHUNK_STREAM, _LAST_CHUNK_STREAM = 2, 63
_CONTROL_CHUNK_STREAM = 2
_SET_CHUNK_SIZE = 1


def serialize(  # noqa: PLR0917  # one call per packet, in the order of the header: names would cost more
    chunk_stream_id: int, type_id: int, stream_id: int, timestamp: int, payload: bytes, chunk_size: int
) -> bytes:
    """One message as chunks: a type 0 header, then type 3 headers that repeat an extended timestamp.

    `timestamp` is in milliseconds, taken modulo 2**32.  `chunk_stream_id` is 2 to 63 (some peers refuse
    longer ones).  Raises `ValueError` for another one and for a payload above `MAX_MESSAGE`.
    """
    if not _FIRST_CHUNK_STREAM <= chunk_stream_id <= _LAST_CHUNK_STREAM:
        raise ValueError(f"a chunk stream id of 2 to 63 is needed for writing, not {chunk_stream_id}")
    length = len(payload)
    if length > MAX_MESSAGE:
        raise ValueError(f"a message holds up to {MAX_MESSAGE} bytes, not {length}")
    timestamp &= 0xFFFFFFFF
    extended = b"" if timestamp < _EXTENDED_MARK else _EXTENDED.pack(timestamp)
    first = _FIRST_HALF.pack(chunk_stream_id << 24 | (_EXTENDED_MARK if extended else timestamp), length << 8 | type_id)
    head = first + _SECOND_HALF.pack(stream_id) + extended
    if length <= chunk_size:
        return head + payload
    pieces = [payload[start : start + chunk_size] for start in range(0, length, chunk_size)]
    pieces[0] = head + pieces[0]
    return (bytes((_CONTINUATION | chunk_stream_id,)) + extended).join(pieces)


class ChunkWriter:
    """The sending direction of one connection; its only state is the chunk size in force."""

    def __init__(self) -> None:
        self._chunk_size = DEFAULT_CHUNK_SIZE

    @property
    def chunk_size(self) -> int:
        """Largest chunk payload in bytes for what is written next."""
        return self._chunk_size

    def set_chunk_size(self, size: int) -> bytes:
        """Switch to `size` (1 to `MAX_CHUNK_SIZE`) and return the Set Chunk Size message (RTMP §5.4.1)."""
        if not 1 <= size <= MAX_CHUNK_SIZE:
            raise ValueError(f"a chunk size of 1 to {MAX_CHUNK_SIZE} is needed, not {size}")
        announcement = Message(
            type_id=_SET_CHUNK_SIZE,
            stream_id=0,
            timestamp=0,
            payload=size.to_bytes(4, "big"),
            chunk_stream_id=_CONTROL_CHUNK_STREAM,
        )
        written = self.write(announcement)
        self._chunk_size = size
        return written

    def write(self, message: Message) -> bytes:
        """The chunks of `message`; raises as `serialize` does."""
        return serialize(
            message.chunk_stream_id,
            message.type_id,
            message.stream_id,
            message.timestamp,
            message.payload,
            self._chunk_size,
        )
