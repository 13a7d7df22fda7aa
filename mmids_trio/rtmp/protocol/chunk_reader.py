"""Chunks to messages (RTMP 1.0 §5.3), bytes in only.

It stands apart from the writer because the two directions share no state.

This is the hot path of every publisher: one buffer and an offset into it, and the chunks of a message that lie in the
buffer one behind the other are joined without a loop over them (a 10 kB message takes 3 to 4 µs on one core of 2026, in
chunks of 4,096 bytes as in chunks of 128).  What is small costs the most for its bytes, 1.2 to 1.6 µs a chunk: 64 KiB
of the smallest legal messages took 38 to 105 ms in one go.  So it reads in turns of a bounded number of chunks, and
whoever calls it says how many.
"""

from math import inf

from mmids_trio.errors import ProtocolError
from mmids_trio.guards import Guard
from mmids_trio.rtmp.protocol.chunk_header import (
    TYPE_0,
    TYPE_1,
    TYPE_3,
    ChunkStream,
    parse_basic_header,
    parse_header,
)
from mmids_trio.rtmp.protocol.limits import (
    DEFAULT_CHUNK_SIZE,
    MAX_BUFFERED,
    MAX_CHUNK_SIZE,
    MAX_CHUNK_STREAMS,
)
from mmids_trio.rtmp.protocol.message import Message

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

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        """Largest chunk payload in bytes, as the peer announced it last."""
        self.max_buffered = MAX_BUFFERED
        """Largest number of bytes of unfinished messages that is held."""
        self.dropped_messages = 0
        """Unfinished messages that the peer gave up by beginning another one on their chunk stream."""
        self._buffer = bytearray()
        self._streams: dict[int, ChunkStream] = {}
        self._unfinished = 0  # bytes pending on all chunk streams
        self.has_more = False
        """Whether the last `receive` has left chunks that may be whole."""

    def receive(self, data: bytes, max_chunks: float = inf) -> list[Message]:
        """Take bytes from the peer and return the messages that they complete, in order.

        It stops after `max_chunks` chunks (many that continue each other count as one) and sets `has_more`; the next
        call, which may bring no bytes, goes on there.

        Set Chunk Size and Abort (RTMP 1.0 §5.4.1, §5.4.2) take effect here and are returned as well.  Raises
        `ProtocolError` when the peer breaks the protocol or a limit; the reader is of no use after that, and
        messages that the same call completed are lost.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        offset, chunks = 0, 0
        while chunks < max_chunks and (end := self._read_chunk(offset, messages)) > offset:
            offset = end
            chunks += 1
        self.has_more = chunks >= max_chunks
        del buffer[:offset]
        if self.unfinished > self.max_buffered:
            raise ProtocolError(f"more than {self.max_buffered} bytes of unfinished messages", Guard.UNFINISHED)
        return messages

    @property
    def unfinished(self) -> int:
        """Bytes that are held of messages that are not complete."""
        return self._unfinished + len(self._buffer)

    def _read_chunk(self, offset: int, messages: list[Message]) -> int:
        """Read the chunk at `offset` and those that directly continue it.

        Adds the message that they complete, if any, to `messages`, and returns the offset behind them.
        That is `offset` itself, and nothing has changed, when the chunk is not all there.
        """
        buffer = self._buffer
        basic = parse_basic_header(buffer, offset)
        if basic is None:
            return offset
        kind = buffer[offset] >> 6
        stream = self._streams.get(basic[0]) or self._begin(basic[0], bytes(buffer[offset : basic[1]]))
        parsed = parse_header(buffer, basic[1], kind, stream)
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
        if remaining > self.chunk_size:
            block, end = self._read_run(stream, start, remaining)
        else:
            block = buffer[start:end]
        if len(block) < header.length:
            stream.pending += block
            self._unfinished += len(block)
            if len(block) < remaining:
                return end
            block = stream.pending
            self._abort(stream)
        payload = bytes(block)
        messages.append(Message(header.type_id, header.stream_id, header.timestamp, payload, basic[0]))
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
        """The state of a chunk stream seen for the first time.

        librtmp begins the control chunk stream with a type 1 header when a ping response is the first
        thing that it sends there; all else has to begin with type 0.
        """
        kind = basic_header[0] >> 6
        if kind != TYPE_0 and (kind, chunk_stream_id) != (TYPE_1, _CONTROL_CHUNK_STREAM):
            raise ProtocolError(f"chunk stream {chunk_stream_id} begins with a type {kind} header, not type 0")
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise ProtocolError(f"more than {MAX_CHUNK_STREAMS} chunk streams", Guard.CHUNK_STREAMS)
        continuation = bytes((basic_header[0] | TYPE_3 << 6,)) + basic_header[1:]
        stream = self._streams[chunk_stream_id] = ChunkStream(continuation)
        return stream

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
