"""Aggregate messages (type 22, RTMP 1.0 §7.1.6): several FLV tags in one message, taken apart."""

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.message import Message

TAG_HEADER = 11
"""Bytes before the body of an FLV tag: type, size (3), timestamp (3 and 1 upper), stream id (3)."""

BACK_POINTER = 4
"""Bytes after the body: the size of the whole tag. Some encoders leave out the last one."""

MAX_TAGS = 1024
"""Tags in one aggregate: some ten seconds of media. A whole message of empty tags would be a million."""

TIMESTAMP_MASK = 0xFFFFFFFF


def split_aggregate(message: Message) -> list[Message]:
    """The messages in `message`, in order, on its message stream and chunk stream.

    The timestamps in the tags are relative to the first one, which stands for the aggregate's own.
    Raises `ProtocolError` when a tag reaches beyond the end, and beyond `MAX_TAGS`.
    """
    payload = message.payload
    messages: list[Message] = []
    position = 0
    offset: int | None = None
    while position < len(payload):
        if position + TAG_HEADER > len(payload):
            raise ProtocolError(f"a tag in an aggregate message is cut off in its header at byte {position}")
        size = int.from_bytes(payload[position + 1 : position + 4], "big")
        timestamp = (payload[position + 7] << 24) | int.from_bytes(payload[position + 4 : position + 7], "big")
        if offset is None:
            offset = message.timestamp - timestamp
        if len(messages) == MAX_TAGS:
            raise ProtocolError(f"an aggregate message holds more than {MAX_TAGS} tags")
        start = position + TAG_HEADER
        if start + size > len(payload):
            raise ProtocolError(f"a tag of {size} bytes in an aggregate message reaches beyond its end")
        messages.append(
            Message(
                type_id=payload[position],
                stream_id=message.stream_id,
                timestamp=(timestamp + offset) & TIMESTAMP_MASK,
                payload=payload[start : start + size],
                chunk_stream_id=message.chunk_stream_id,
            )
        )
        position = start + size + BACK_POINTER
    return messages
