"""Data messages (types 18 and 15): telling metadata from everything else that publishers send.

Only metadata is decoded; the rest goes on as the bytes that came, at no cost and whatever is in it.
"""

from mmids_trio.rtmp.protocol import amf0
from mmids_trio.rtmp.protocol.commands import amf0_part, as_mapping, as_string
from mmids_trio.rtmp.protocol.events import DataReceived, MetadataReceived
from mmids_trio.rtmp.protocol.message import Message


def _encoded(name: str) -> bytes:
    return b"\x02" + len(name).to_bytes(2, "big") + name.encode()


SET_DATA_FRAME = _encoded("@setDataFrame")
"""How publishers say "keep this for those who come later"; forwarded data is without it."""

CLEAR_DATA_FRAME = _encoded("@clearDataFrame")
METADATA = _encoded("onMetaData")
SAMPLE_ACCESS = _encoded("|RtmpSampleAccess")

NOT_FORWARDED = (CLEAR_DATA_FRAME, SAMPLE_ACCESS)
"""What is said to the server alone, or is said by the server itself."""


def read_data(stream: int, message: Message) -> MetadataReceived | DataReceived | None:
    """What `message` on message stream `stream` means; `None` for what concerns nobody.

    Raises `ProtocolError` for metadata that is no AMF0.
    """
    payload = amf0_part(message).removeprefix(SET_DATA_FRAME)
    if payload.startswith(METADATA):
        return _metadata(stream, message.timestamp, payload[len(METADATA) :])
    if not payload or payload.startswith(NOT_FORWARDED):
        return None
    return DataReceived(stream, message.timestamp, payload)


def _metadata(stream: int, timestamp: int, payload: bytes) -> MetadataReceived:
    """The first object is the metadata; some encoders repeat the name before it."""
    for value in amf0.decode_all(payload):
        if as_mapping(value):
            return MetadataReceived(stream, timestamp, as_mapping(value))
        if as_string(value) != "onMetaData":
            break
    return MetadataReceived(stream, timestamp, {})
