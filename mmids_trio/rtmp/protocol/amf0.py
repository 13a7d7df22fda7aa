"""AMF0, the encoding of RTMP commands and metadata, as one import for the layers above.

The value types, the reader and the writer have a file each; this one only gathers their names.
"""

from mmids_trio.rtmp.protocol.amf0_reader import decode_all
from mmids_trio.rtmp.protocol.amf0_values import (
    UNDEFINED,
    AmfValue,
    Date,
    EcmaArray,
    TypedObject,
    Undefined,
    XmlDocument,
)
from mmids_trio.rtmp.protocol.amf0_writer import encode_all

__all__ = [
    "UNDEFINED",
    "AmfValue",
    "Date",
    "EcmaArray",
    "TypedObject",
    "Undefined",
    "XmlDocument",
    "decode_all",
    "encode_all",
]
