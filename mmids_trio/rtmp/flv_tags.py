"""FLV tags of what passes through a workflow, for pipes of children and for HTTP-FLV; metadata are AMF0, as in RTMP."""

from collections.abc import Mapping
from typing import cast

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.flv import TagType, flv_tag
from mmids_trio.rtmp.protocol import amf

_TAG_TYPES = {
    MediaKind.AUDIO: TagType.AUDIO,
    MediaKind.VIDEO: TagType.VIDEO,
    MediaKind.OTHER: TagType.SCRIPT,
}


def packet_tag(packet: MediaPacket, timestamp: int) -> bytes:
    """The tag for `packet`, at `timestamp` (milliseconds) in place of its own."""
    return flv_tag(_TAG_TYPES[packet.kind], timestamp, packet.data)


def metadata_tag(values: Mapping[str, object], timestamp: int = 0) -> bytes:
    """`onMetaData` with an ECMA array, the only form that FFmpeg reads; `timestamp` in milliseconds.

    Raises `TypeError` and `ProtocolError` for values that AMF0 cannot say.
    """
    array = amf.EcmaArray(cast(Mapping[str, amf.AmfValue], values))
    return flv_tag(TagType.SCRIPT, timestamp, amf.encode_all(["onMetaData", array]))
