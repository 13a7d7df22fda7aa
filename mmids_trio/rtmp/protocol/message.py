"""One RTMP message, as chunks are joined to it and cut from it.

It stands apart so that reader, writer and the layer above share it without importing each other.
"""

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
