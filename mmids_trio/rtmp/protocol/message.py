"""One RTMP message, as chunks are joined to it and cut from it, and the numbers in its header."""

from attrs import define


@define(slots=True)
class Message:
    """An RTMP message with its header (RTMP 1.0 §6.1).

    `type_id` is 0 to 255, `stream_id` the message stream, `timestamp` absolute milliseconds modulo
    2**32, `chunk_stream_id` where it came in or is to go out (2 to 65,599 read, 2 to 63 written).
    """

    type_id: int
    stream_id: int
    timestamp: int
    payload: bytes
    chunk_stream_id: int


# Types that connections know by name (RTMP 1.0 §5.4, §7.1); the two that concern chunks alone stay in `chunks`.

ACKNOWLEDGEMENT = 3
USER_CONTROL = 4
WINDOW_ACKNOWLEDGEMENT_SIZE = 5
SET_PEER_BANDWIDTH = 6
AUDIO = 8
VIDEO = 9
DATA_AMF3 = 15
COMMAND_AMF3 = 17
DATA_AMF0 = 18
COMMAND_AMF0 = 20
AGGREGATE = 22

# The chunk streams that outgoing messages travel on. The numbers are ours to choose (RTMP 1.0 §5.3.1.1 fixes only 2);
# all are below 64, since some readers refuse the longer forms of the basic header.

CONTROL_CHUNK_STREAM = 2
"""Protocol control and user control messages, as RTMP 1.0 §5.4 demands."""

COMMAND_CHUNK_STREAM = 3
"""Commands that answer no command in particular; a result goes on the chunk stream that its command used."""

STATUS_CHUNK_STREAM = 5
"""`onStatus` and everything else that belongs to a message stream but is no media."""

DATA_CHUNK_STREAM = 5
"""Metadata and other data messages."""

AUDIO_CHUNK_STREAM = 4
VIDEO_CHUNK_STREAM = 6

MAX_CHUNK_STREAM_TO_WRITE = 63
"""Highest chunk stream id with a basic header of one byte (RTMP 1.0 §5.3.1.1)."""
