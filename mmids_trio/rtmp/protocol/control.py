"""Protocol control and user control messages, RTMP 1.0 §5.4 and §7.1.7: building and reading them.

Set Chunk Size and Abort are missing: they belong to the chunk layer, which acts on them itself.
"""

from struct import Struct

from attrs import define, frozen

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.message import (
    ACKNOWLEDGEMENT,
    CONTROL_CHUNK_STREAM,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    WINDOW_ACKNOWLEDGEMENT_SIZE,
    Message,
)

STREAM_BEGIN = 0
STREAM_EOF = 1
SET_BUFFER_LENGTH = 3
PING_REQUEST = 6
PING_RESPONSE = 7
"""Event types of user control messages, RTMP 1.0 §7.1.7."""

DYNAMIC_LIMIT = 2
"""The limit type of Set Peer Bandwidth that lets the peer ignore it, RTMP 1.0 §5.4.5."""

NUMBER = Struct(">I")
WINDOW_AND_LIMIT = Struct(">IB")
EVENT = Struct(">H")
EVENT_AND_NUMBER = Struct(">HI")
EVENT_AND_NUMBERS = Struct(">HII")


def _control(type_id: int, payload: bytes) -> Message:
    return Message(type_id=type_id, stream_id=0, timestamp=0, payload=payload, chunk_stream_id=CONTROL_CHUNK_STREAM)


def acknowledgement(total: int) -> Message:
    """Acknowledge `total` received bytes; the counter wraps at 2**32 (RTMP 1.0 §5.4.3)."""
    return _control(ACKNOWLEDGEMENT, NUMBER.pack(total & 0xFFFFFFFF))


def window_acknowledgement_size(size: int) -> Message:
    """Ask the peer to acknowledge at least every `size` bytes (RTMP 1.0 §5.4.4)."""
    return _control(WINDOW_ACKNOWLEDGEMENT_SIZE, NUMBER.pack(size))


def set_peer_bandwidth(size: int) -> Message:
    """Suggest a window of `size` bytes to the peer, limit type dynamic (RTMP 1.0 §5.4.5)."""
    return _control(SET_PEER_BANDWIDTH, WINDOW_AND_LIMIT.pack(size, DYNAMIC_LIMIT))


def user_control(event: int, value: int) -> Message:
    """A user control message with one 32-bit number: a message stream id, or a timestamp of a ping."""
    return _control(USER_CONTROL, EVENT_AND_NUMBER.pack(event, value & 0xFFFFFFFF))


def set_buffer_length(stream_id: int, milliseconds: int) -> Message:
    """Tell the server how much a player buffers (RTMP 1.0 §7.1.7)."""
    return _control(USER_CONTROL, EVENT_AND_NUMBERS.pack(SET_BUFFER_LENGTH, stream_id, milliseconds))


@frozen
class UserControl:
    """A user control message: `value` is the 32-bit number after the event type, 0 when there is none."""

    event: int
    value: int


def parse_user_control(message: Message) -> UserControl:
    """Read a user control message of any event type; raises `ProtocolError` when even that is missing."""
    payload = message.payload
    if len(payload) < EVENT.size:
        raise ProtocolError(f"a user control message has at least 2 bytes, this one {len(payload)}")
    if len(payload) < EVENT_AND_NUMBER.size:
        return UserControl(EVENT.unpack_from(payload)[0], 0)
    return UserControl(*EVENT_AND_NUMBER.unpack_from(payload))


def parse_number(message: Message) -> int:
    """Read the 32-bit number of a window size or an acknowledgement."""
    if len(message.payload) < NUMBER.size:
        raise ProtocolError(f"a control message of type {message.type_id} has 4 bytes, this one {len(message.payload)}")
    number: int = NUMBER.unpack_from(message.payload)[0]
    return number


DEFAULT_WINDOW = 2_500_000
"""Bytes; what Adobe's server announced, most others since, and what we assume of a silent peer."""


@define
class ReceivedBytes:
    """Counts what came, and says when an acknowledgement is due: at half the peer's window at the latest.

    librtmp and Flash stop sending when it does not come.  A window of any size costs at most one
    acknowledgement per read.
    """

    total: int = 0
    window: int = DEFAULT_WINDOW
    _acknowledged: int = 0

    def announce_window(self, size: int) -> None:
        """The peer announced its window in bytes; 0 means that it never waits, so the default stands."""
        self.window = size or DEFAULT_WINDOW

    def is_due_after(self, count: int) -> bool:
        """Count `count` more bytes; true when `total` must be acknowledged now (it then counts as that)."""
        self.total += count
        if self.total - self._acknowledged < self.window // 2:
            return False
        self._acknowledged = self.total
        return True
