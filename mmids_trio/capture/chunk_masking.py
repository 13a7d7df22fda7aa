"""The bytes of one RTMP client, masked in place: the walk over handshake and chunks to the messages in them.

Apart from the reader of the server, which joins chunks and forgets where they were.  Every byte that comes in goes
out at once, changed or not, so that times and sizes of reads stay.  What breaks the protocol is blanked from there on.
"""

from attrs import define, field

from mmids_trio.capture import message_scripts as scripts
from mmids_trio.capture.patching import Patcher, Script
from mmids_trio.capture.pseudonyms import Pseudonyms
from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol import message as types
from mmids_trio.rtmp.protocol.chunks import (
    TYPE_0,
    TYPE_1,
    TYPE_3,
    ChunkHeader,
    ChunkStream,
    parse_basic_header,
    parse_header,
)
from mmids_trio.rtmp.protocol.limits import DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS

_HANDSHAKE = 1 + 2 * 1536  # C0, C1 and C2
_VERSION = 3
_LONGEST_HEADER = 3 + 11 + 4
_SET_CHUNK_SIZE, _ABORT, _LAST_CONTROL = 1, 2, 6
_ARGUMENT_SIZE = 4


@define(eq=False)
class _Stream:
    """One chunk stream; `done` bytes of the message under way have come."""

    chunks: ChunkStream
    done: int = 0
    patcher: Patcher | None = None
    argument: bytearray = field(factory=bytearray)
    """Of a control message that concerns chunks: what it says."""

    def begin(self, script: Script) -> None:
        self.done = 0
        self.patcher = Patcher(script)
        self.argument.clear()

    def abandon(self) -> None:
        self.done = 0
        self.chunks.pending.clear()


@define(eq=False)
class ChunkMasker:
    """Masks what one client sends. `pseudonyms`: `None` to keep all strings; `blanks_media`: else it is kept whole."""

    pseudonyms: Pseudonyms | None
    blanks_media: bool
    _handshake: int = field(default=_HANDSHAKE, init=False)
    """Bytes of it that are still to come."""
    _is_blind: bool = field(default=False, init=False)
    _chunk_size: int = field(default=DEFAULT_CHUNK_SIZE, init=False)
    _streams: dict[int, _Stream] = field(factory=dict, init=False)
    _head: bytes = field(default=b"", init=False)
    """What has come of a header that is not whole; it has gone out already."""
    _current: _Stream | None = field(default=None, init=False)
    _left: int = field(default=0, init=False)
    """Bytes of the payload of the current chunk that are still to come."""

    def mask(self, data: bytes) -> bytes:
        """The next bytes of the client, masked: as many."""
        masked = bytearray()
        position = self._shake_hands(data, masked)
        while position < len(data) and not self._is_blind:
            if self._current is None:
                position = self._read_header(data, position, masked)
            else:
                piece = data[position : position + self._left]
                masked += self._take(piece)
                position += len(piece)
        masked += bytes(len(data) - position)
        return bytes(masked)

    def _shake_hands(self, data: bytes, masked: bytearray) -> int:
        if self._handshake == _HANDSHAKE and data and data[0] != _VERSION:
            self._is_blind = True
            masked += data[:1]  # which is what the server refuses it for
            return 1
        taken = data[: self._handshake]
        self._handshake -= len(taken)
        masked += taken
        return len(taken)

    def _read_header(self, data: bytes, position: int, masked: bytearray) -> int:
        """Read the header of a chunk at `position`, of which `_head` came before; returns where to go on."""
        head = bytearray(self._head + data[position : position + _LONGEST_HEADER + _ARGUMENT_SIZE])
        try:
            end = self._begin_chunk(head)
        except ProtocolError:
            self._is_blind = True
            return position
        if end is None:  # then all of it is header
            masked += data[position:]
            self._head = bytes(head)
            return len(data)
        came_before, self._head = len(self._head), b""
        if end < came_before:  # it looked like a timestamp, but was payload; it equals a timestamp, and went out
            self._take(bytes(head[end:came_before]))
            return position
        masked += head[came_before:end]
        return position + end - came_before

    def _begin_chunk(self, head: bytearray) -> int | None:
        """Where the payload of the chunk begins; `None` while its header is not whole."""
        basic = parse_basic_header(head, 0)
        if basic is None:
            return None
        kind = head[0] >> 6
        stream = self._streams.get(basic[0]) or self._first_chunk(basic[0], kind)
        parsed = parse_header(head, basic[1], kind, stream.chunks)
        if parsed is None:
            return None
        header, end = parsed
        if kind != TYPE_3 or not stream.done:
            stream.begin(self._script(header.type_id))
        stream.chunks.header = header
        self._current = stream
        self._left = min(header.length - stream.done, self._chunk_size)
        self._end_chunk_if_whole()
        return end

    def _first_chunk(self, number: int, kind: int) -> _Stream:
        if (kind != TYPE_0 and (kind, number) != (TYPE_1, 2)) or len(self._streams) >= MAX_CHUNK_STREAMS:
            raise ProtocolError("not how a chunk stream may begin")
        stream = self._streams[number] = _Stream(ChunkStream(b""))
        return stream

    def _take(self, piece: bytes) -> bytes:
        """The payload of the current chunk, masked."""
        stream = self._current
        if stream is None or stream.patcher is None:
            return b""
        if stream.chunks.header.type_id in (_SET_CHUNK_SIZE, _ABORT):
            stream.argument += piece
        masked = stream.patcher.feed(piece)
        self._left -= len(piece)
        stream.done += len(piece)
        self._end_chunk_if_whole()
        return masked

    def _end_chunk_if_whole(self) -> None:
        stream = self._current
        if stream is None or self._left:
            return
        self._current = None
        header = stream.chunks.header
        if stream.done < header.length:
            stream.chunks.pending[:] = b"\0"  # what tells a header parser that a message is under way
            return
        stream.abandon()
        self._obey(header, bytes(stream.argument))

    def _obey(self, header: ChunkHeader, argument: bytes) -> None:
        if header.type_id not in (_SET_CHUNK_SIZE, _ABORT):
            return
        number = int.from_bytes(argument[:_ARGUMENT_SIZE], "big")
        if header.type_id == _SET_CHUNK_SIZE:
            self._chunk_size = min(max(number, 1), MAX_CHUNK_SIZE)
        elif number in self._streams:
            self._streams[number].abandon()

    def _script(self, type_id: int) -> Script:
        if type_id in (types.AUDIO, types.VIDEO):
            return scripts.media(type_id) if self.blanks_media else scripts.everything()
        if type_id == types.AGGREGATE:
            return scripts.aggregate() if self.blanks_media else scripts.everything()
        if type_id <= _LAST_CONTROL or self.pseudonyms is None:
            return scripts.everything()
        strings = scripts.Strings(self.pseudonyms)
        if type_id in (types.COMMAND_AMF0, types.COMMAND_AMF3):
            return strings.command(type_id)
        if type_id in (types.DATA_AMF0, types.DATA_AMF3):
            return strings.data(type_id) if self.blanks_media else scripts.everything()
        return scripts.nothing()
