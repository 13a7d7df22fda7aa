"""The headers of chunks (RTMP 1.0 §5.3.1): parsed where they lie in the buffer, without touching any state.

They stand apart from the reader so that a header whose chunk is not complete yet can simply be parsed
again when more bytes are there.  "Need more" is `None`.
"""

from typing import Final, NamedTuple

from attrs import define, field

from mmids_trio.errors import ProtocolError
from mmids_trio.guards import Guard
from mmids_trio.rtmp.protocol.limits import MAX_COMMAND, MAX_CONTROL, MAX_DATA, MAX_MESSAGE

TYPE_0, TYPE_1, TYPE_2, TYPE_3 = range(4)
"""Full header; without message stream; with a timestamp delta alone; empty (RTMP 1.0 §5.3.1.2)."""

_SIZES: Final = (11, 7, 3)
_TIMESTAMP_MASK = 0xFFFFFFFF
_EXTENDED_MARK = 0xFFFFFF
_EXTENDED_SIZE = 4

_TWO_BYTE_FORM, _THREE_BYTE_FORM = 0, 1
_LONG_FORM_BASE = 64  # chunk stream ids below it have the one-byte form

LIMITS: Final = {
    **dict.fromkeys(range(1, 7), MAX_CONTROL),
    **dict.fromkeys((17, 20), MAX_COMMAND),
    **dict.fromkeys((15, 18), MAX_DATA),
}
"""Largest message in bytes by its type; `MAX_MESSAGE` for the rest."""


class ChunkHeader(NamedTuple):
    """All that is known of a message from the headers of its chunk stream.

    A tuple, since every message makes one.
    """

    timestamp: int
    """Absolute, in milliseconds modulo 2**32."""
    delta: int
    """What a type 3 chunk that begins the next message adds to it: 0 after type 0."""
    length: int
    type_id: int
    stream_id: int
    extended: bytes
    """The extended timestamp or delta as it came, 4 bytes; empty where there was none."""


_NOTHING: Final = ChunkHeader(0, 0, 0, 0, 0, b"")


@define
class ChunkStream:
    """What one chunk stream carries from chunk to chunk."""

    continuation: bytes
    """The basic header of a type 3 chunk on this stream."""
    header: ChunkHeader = _NOTHING
    pending: bytearray = field(factory=bytearray)
    """The payload so far of the unfinished message; empty when there is none."""


def parse_basic_header(buffer: bytearray, position: int) -> tuple[int, int] | None:
    """Chunk stream id and the position after the basic header at `position` (RTMP 1.0 §5.3.1.1)."""
    try:
        form = buffer[position] & 0x3F
        if form == _TWO_BYTE_FORM:
            return _LONG_FORM_BASE + buffer[position + 1], position + 2
        if form == _THREE_BYTE_FORM:
            return _LONG_FORM_BASE + buffer[position + 1] + (buffer[position + 2] << 8), position + 3
    except IndexError:
        return None
    return form, position + 1


def parse_header(buffer: bytearray, position: int, kind: int, stream: ChunkStream) -> tuple[ChunkHeader, int] | None:
    """The message that the chunk belongs to, and the position of the chunk's payload.

    `position` is that of the message header, which is of type `kind`.  Raises `ProtocolError` for a message
    above its limit.
    """
    if kind == TYPE_3:
        return _parse_type_3(buffer, position, stream)
    end = position + _SIZES[kind]
    if end > len(buffer):
        return None
    last = stream.header
    length, type_id, stream_id = last.length, last.type_id, last.stream_id
    if kind != TYPE_2:
        length = int.from_bytes(buffer[position + 3 : position + 6], "big")
        type_id = buffer[position + 6]
        _check_length(length, type_id)
    if kind == TYPE_0:
        stream_id = int.from_bytes(buffer[position + 7 : end], "little")
    time = int.from_bytes(buffer[position : position + 3], "big")
    extended = b""
    if time == _EXTENDED_MARK:
        extended = bytes(buffer[end : end + _EXTENDED_SIZE])
        if len(extended) < _EXTENDED_SIZE:
            return None
        end += _EXTENDED_SIZE
        time = int.from_bytes(extended, "big")
    if kind == TYPE_0:
        return ChunkHeader(time, 0, length, type_id, stream_id, extended), end
    timestamp = (last.timestamp + time) & _TIMESTAMP_MASK
    return ChunkHeader(timestamp, time, length, type_id, stream_id, extended), end


def _parse_type_3(buffer: bytearray, position: int, stream: ChunkStream) -> tuple[ChunkHeader, int] | None:
    """A chunk that goes on with a message, or begins one with the last header.

    Whether it repeats an extended timestamp differs from sender to sender: if the next four bytes are
    equal to it, they are it, else they are payload.
    """
    header = stream.header
    if header.extended:
        following = buffer[position : position + _EXTENDED_SIZE]
        if following == header.extended:
            position += _EXTENDED_SIZE
        elif header.extended.startswith(following):
            return None
    if header.delta and not stream.pending:
        timestamp = (header.timestamp + header.delta) & _TIMESTAMP_MASK
        header = ChunkHeader(timestamp, *header[1:])
    return header, position


def _check_length(length: int, type_id: int) -> None:
    limit = LIMITS.get(type_id, MAX_MESSAGE)
    if length > limit:
        what = f"message of type {type_id} with {length} bytes; up to {limit} are accepted"
        raise ProtocolError(what, Guard.MESSAGE_SIZE)
