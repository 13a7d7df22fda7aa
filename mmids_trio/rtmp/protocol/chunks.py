"""Chunks (RTMP 1.0 §5.3) to messages and back; bytes in, bytes out.

A header whose chunk is not complete yet is simply parsed again when more bytes are there; "need more" is `None`.
When writing, the first chunk of a message always carries the full header (type 0), so the bytes of a message depend on
nothing that was written before: the fan-out serialises once for all and lets each subscriber join anywhere.
"""

from functools import partial
from math import inf
from struct import Struct
from typing import Final, NamedTuple

from attrs import define, field

from mmids_trio.errors import ProtocolError
from mmids_trio.rejections import RejectReason
from mmids_trio.rtmp.protocol.limits import (
    DEFAULT_CHUNK_SIZE,
    MAX_BUFFERED,
    MAX_CHUNK_SIZE,
    MAX_CHUNK_STREAMS,
    MAX_COMMAND,
    MAX_CONTROL,
    MAX_DATA,
    MAX_MESSAGE,
)
from mmids_trio.rtmp.protocol.message import AUDIO, VIDEO, Message
from mmids_trio.rtmp.protocol.oddities import Oddities, Oddity

TYPE_0, TYPE_1, TYPE_2, TYPE_3 = range(4)
"""Full header; without message stream; with a timestamp delta alone; empty (RTMP 1.0 §5.3.1.2)."""

_SIZES: Final = (11, 7, 3)
_TIMESTAMP_MASK = 0xFFFFFFFF
_EXTENDED_MARK = 0xFFFFFF
_EXTENDED_SIZE = 4

_FIRST_OF_TYPE_1, _FIRST_OF_TYPE_2 = TYPE_1 << 6, TYPE_2 << 6  # the first byte of a chunk, at least
_LONGEST_HEADER = 12  # of those with a short basic header, and without an extended timestamp
_FEW_CHUNKS = 128  # of one frame; where there are more, those that run on are read together

_FORM = 0x3F
_TWO_BYTE_FORM, _THREE_BYTE_FORM = 0, 1
_LONG_FORM_BASE = 64  # chunk stream ids below it have the one-byte form

LIMITS: Final = {
    **dict.fromkeys(range(1, 7), MAX_CONTROL),
    **dict.fromkeys((17, 20), MAX_COMMAND),
    **dict.fromkeys((15, 18), MAX_DATA),
}
"""Largest message in bytes by its type; `MAX_MESSAGE` for the rest."""

_LEAST_LIMIT: Final = min(MAX_MESSAGE, *LIMITS.values())
_MESSAGE_HEADER: Final = Struct(">HBHBB")  # timestamp and length (3 bytes each), type; of a type 0 or 1 header
_MESSAGE_STREAM: Final = Struct("<I")  # the one little-endian field of RTMP


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
_as_header: Final = partial(tuple.__new__, ChunkHeader)  # without the call of Python's in `ChunkHeader(...)`


@define
class ChunkStream:
    """What one chunk stream carries from chunk to chunk."""

    continuation: bytes
    """The basic header of a type 3 chunk on this stream."""
    header: ChunkHeader = _NOTHING
    pending: bytearray = field(factory=bytearray)
    """The payload so far of the unfinished message; empty when there is none."""
    number: int = 0
    """How many messages had begun before this one on the connection."""


def parse_basic_header(buffer: bytearray, position: int) -> tuple[int, int] | None:
    """Chunk stream id and the position after the basic header at `position` (RTMP 1.0 §5.3.1.1)."""
    try:
        form = buffer[position] & _FORM
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
    if kind == TYPE_2:
        time = int.from_bytes(buffer[position:end], "big")
        length, type_id, stream_id = last.length, last.type_id, last.stream_id
    else:
        high, low, length_high, length_low, type_id = _MESSAGE_HEADER.unpack_from(buffer, position)
        time, length = high << 8 | low, length_high << 8 | length_low
        if length > _LEAST_LIMIT:
            _check_length(length, type_id)
        stream_id = _MESSAGE_STREAM.unpack_from(buffer, position + 7)[0] if kind == TYPE_0 else last.stream_id
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
        raise ProtocolError(what, RejectReason.MESSAGE_SIZE)


_SET_CHUNK_SIZE = 1
_ABORT = 2
_ARGUMENT_SIZE = 4  # bytes of what either of them says
_FORBIDDEN_BIT = 0x80000000
_CONTROL_CHUNK_STREAM = 2
_LONGEST_RUN = 256  # chunks looked at in one go; bounds what is in vain when messages interleave


class ChunkReader:
    """The receiving direction of one connection, from the first byte after the handshake.

    Holds received bytes only, never what a header merely announces, and at most `max_buffered` of them.
    """

    def __init__(self, oddities: Oddities | None = None) -> None:
        self._oddities = Oddities() if oddities is None else oddities
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Largest chunk payload in bytes, as the peer announced it last."""
        self.max_buffered = MAX_BUFFERED
        """Largest number of bytes of unfinished messages that is held."""
        self.dropped_messages = 0
        """Unfinished messages that the peer gave up by beginning another one on their chunk stream."""
        self._buffer = bytearray()
        self._streams: dict[int, ChunkStream] = {}
        self._latest: ChunkStream | None = None  # the one that the last chunk came on
        self._unfinished = 0  # bytes pending on all chunk streams
        self._begun = 0  # messages so far
        self.has_more = False
        """Whether the last `read_messages` has left chunks that may be whole."""

    def read_messages(self, data: bytes, max_chunks: float = inf) -> list[Message]:
        """Take bytes from the peer and return the messages that they complete, in order.

        It stops after `max_chunks` chunks (many that continue each other count as one) and sets `has_more`; the next
        call, which may bring no bytes, goes on there.

        Set Chunk Size and Abort (RTMP 1.0 §5.4.1, §5.4.2) take effect here and are returned as well.  Raises
        `ProtocolError` when the peer breaks the protocol or a limit; the reader is of no use after that, and
        messages that the same call completed are lost.
        """
        buffer = self._buffer
        messages: list[Message] = []
        offset = chunks = 0
        if buffer:
            buffer += data
        else:
            read = self._read_frames(data, messages, max_chunks)
            chunks = len(messages)
            if read == len(data) and self._unfinished <= self.max_buffered:
                self.has_more = chunks >= max_chunks
                return messages
            buffer += memoryview(data)[read:]
        while chunks < max_chunks and (end := self._read_chunk(offset, messages)) > offset:
            offset = end
            chunks += 1
        self.has_more = chunks >= max_chunks
        del buffer[:offset]
        if not self.has_more and self.unfinished > self.max_buffered:
            raise ProtocolError(f"more than {self.max_buffered} bytes of unfinished messages", RejectReason.UNFINISHED)
        return messages

    def _read_frames(self, data: bytes, messages: list[Message], most: float) -> int:
        """The frames that `data` begins with, each whole and written as nearly all senders do; the offset behind them.

        In one loop, from `data` as it came: `_read_chunk`, which takes whatever there may be, makes 21 calls and copies
        twice for a frame of three chunks, this makes 8 and copies once or twice.  Where it stops nothing has changed.
        """
        streams, size, end, position = self._streams, self.chunk_size, len(data), 0
        while position + _LONGEST_HEADER <= end and len(messages) < most:
            first = data[position]
            chunk_stream_id = first & _FORM
            stream = streams.get(chunk_stream_id)
            if first >= _FIRST_OF_TYPE_2 or stream is None or stream.pending:
                break
            high, low, length_high, length_low, type_id = _MESSAGE_HEADER.unpack_from(data, position + 1)
            time, length = high << 8 | low, length_high << 8 | length_low
            if (type_id != VIDEO and type_id != AUDIO) or time == _EXTENDED_MARK:  # noqa: PLR1714 (a tuple costs more)
                break
            if first < _FIRST_OF_TYPE_1:
                start = position + 12
                stream_id = int.from_bytes(data[position + 8 : start], "little")
                header = _as_header((time, 0, length, type_id, stream_id, b""))
            else:
                start, last = position + 8, stream.header
                time, delta = (last.timestamp + time) & _TIMESTAMP_MASK, time
                stream_id = last.stream_id
                header = _as_header((time, delta, length, type_id, stream_id, b""))
            if length <= size:
                stop = start + length
                if stop > end:
                    break
                payload = data[start:stop]
            else:
                more = (length - 1) // size
                stop = start + length + more
                if stop > end or more > _FEW_CHUNKS:
                    break
                mark, stride = stream.continuation[0], size + 1
                if data[start + size : stop : stride].count(mark) != more:
                    break
                parts = [data[at : at + size] for at in range(start, stop - size, stride)]
                parts.append(data[start + more * stride : stop])
                payload = b"".join(parts)
            stream.header = header
            stream.number = self._begun
            self._begun += 1
            self._latest = stream
            messages.append(Message(type_id, stream_id, time, payload, chunk_stream_id))
            position = stop
        return position

    def forget(self) -> None:
        """Let go of all that is held, and of what nobody reads any more; the reader is of no use after that."""
        self._buffer, self._streams, self._latest, self._unfinished = bytearray(), {}, None, 0
        self.has_more = False

    @property
    def unfinished(self) -> int:
        """Bytes that are held of messages that are not complete."""
        return self._unfinished + len(self._buffer)

    @property
    def oldest_unfinished(self) -> int | None:
        """Tells the message that is under way for longest from every other one; `None` where none is."""
        numbers = [stream.number for stream in self._streams.values() if stream.pending]
        return min(numbers) if numbers else self._begun if self._buffer else None

    def _read_chunk(self, offset: int, messages: list[Message]) -> int:
        """Read the chunk at `offset` and those that directly continue it.

        Adds the message that they complete, if any, to `messages`, and returns the offset behind them.
        That is `offset` itself, and nothing has changed, when the chunk is not all there.
        """
        buffer = self._buffer
        if offset >= len(buffer):
            return offset
        first = buffer[offset]
        kind, chunk_stream_id, start = first >> 6, first & _FORM, offset + 1
        if chunk_stream_id <= _THREE_BYTE_FORM:
            basic = parse_basic_header(buffer, offset)
            if basic is None:
                return offset
            chunk_stream_id, start = basic
        stream = self._streams.get(chunk_stream_id) or self._begin(chunk_stream_id, bytes(buffer[offset:start]))
        parsed = parse_header(buffer, start, kind, stream)
        if parsed is None:
            return offset
        header, start = parsed
        remaining = header.length - (len(stream.pending) if kind == TYPE_3 else 0)
        end = start + min(remaining, self.chunk_size)
        if end > len(buffer):
            return offset
        if kind != TYPE_3 and stream.pending:
            self._abort(stream)
            self.dropped_messages += 1
        stream.header = header
        self._latest = stream
        if remaining > self.chunk_size:
            block, end = self._read_run(stream, start, remaining)
        else:
            block = buffer[start:end]
        if kind != TYPE_3 or not stream.pending:
            stream.number = self._begun
            self._begun += 1
        if len(block) < header.length:
            stream.pending += block
            self._unfinished += len(block)
            if len(block) < remaining:
                return end
            block = stream.pending
            self._abort(stream)
        payload = bytes(block)
        messages.append(Message(header.type_id, header.stream_id, header.timestamp, payload, chunk_stream_id))
        if header.type_id in (_SET_CHUNK_SIZE, _ABORT):
            self._obey(header.type_id, payload)
        return end

    def _read_run(self, stream: ChunkStream, start: int, remaining: int) -> tuple[bytearray, int]:
        """The payload of the full chunk at `start`, joined with that of the chunks that continue it.

        `remaining` bytes are missing from the message.  Returns payload and the offset behind the last
        chunk.  The headers in a run are equal and equally far apart, so they are compared and removed by
        slices with a stride, one for each byte of a header; the run ends before the first that differs.
        """
        buffer, size = self._buffer, self.chunk_size
        end = start + size
        continuation = stream.continuation + stream.header.extended
        stride = len(continuation) + size
        count = -(-(remaining - size) // size)
        stop = start + remaining + count * len(continuation)
        if count > _LONGEST_RUN or stop > len(buffer):
            count = min((len(buffer) - end) // stride, _LONGEST_RUN)
            stop = end + count * stride
        for index in range(len(continuation)):
            column = buffer[end + index : stop : stride]
            alike = len(column) - len(column.lstrip(continuation[index : index + 1]))
            if alike < count:
                count, stop = alike, end + alike * stride
        block = buffer[start:stop]
        for removed in range(len(continuation)):
            del block[size :: stride - removed]
        return block, stop

    def _begin(self, chunk_stream_id: int, basic_header: bytes) -> ChunkStream:
        """The state of a chunk stream seen for the first time."""
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise ProtocolError(f"more than {MAX_CHUNK_STREAMS} chunk streams", RejectReason.CHUNK_STREAMS)
        kind = basic_header[0] >> 6
        header = _NOTHING if kind == TYPE_0 else self._presumed_header(chunk_stream_id, kind)
        continuation = bytes((basic_header[0] | TYPE_3 << 6,)) + basic_header[1:]
        stream = self._streams[chunk_stream_id] = ChunkStream(continuation, header)
        return stream

    def _presumed_header(self, chunk_stream_id: int, kind: int) -> ChunkHeader:
        """What a chunk stream goes on from that has to begin with a type 0 header, and does not.

        Type 1 leaves out the message stream alone: it is taken to be that of the last message, and the time to count
        from 0.  So do some encoders, and librtmp with a ping response.  Types 2 and 3 leave out the length as well,
        which only a sender can do that has one last header for all its chunk streams: that of a whole frame is sane,
        anything else is not.
        """
        last = self._latest.header if self._latest is not None else _NOTHING
        if kind == TYPE_1:
            presumed = _NOTHING._replace(stream_id=last.stream_id)
        elif self._unfinished or last.type_id not in (AUDIO, VIDEO):
            raise ProtocolError(f"chunk stream {chunk_stream_id} begins with a type {kind} header, not type 0")
        else:
            presumed = last
        self._oddities.note(Oddity.CHUNK_STREAM, f"chunk stream {chunk_stream_id} begins with a type {kind} header")
        return presumed

    def _abort(self, stream: ChunkStream) -> None:
        self._unfinished -= len(stream.pending)
        stream.pending = bytearray()

    def _obey(self, type_id: int, payload: bytes) -> None:
        if len(payload) < _ARGUMENT_SIZE:
            raise ProtocolError(f"message of type {type_id} with {len(payload)} bytes, {_ARGUMENT_SIZE} are needed")
        argument = int.from_bytes(payload[:_ARGUMENT_SIZE], "big")
        if type_id == _SET_CHUNK_SIZE:
            if not 0 < argument < _FORBIDDEN_BIT:
                raise ProtocolError(f"chunk size of {argument}, expected 1 to {_FORBIDDEN_BIT - 1}")
            self.chunk_size = min(argument, MAX_CHUNK_SIZE)
        elif argument in self._streams:
            self._abort(self._streams[argument])


_FIRST_HALF = Struct(">II")  # chunk stream (1 byte) and timestamp (3), length (3) and type (1)
_EXTENDED = Struct(">I")

_CONTINUATION = 0xC0
_FIRST_CHUNK_STREAM, _LAST_CHUNK_STREAM = 2, 63


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
    head = first + _MESSAGE_STREAM.pack(stream_id) + extended
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
