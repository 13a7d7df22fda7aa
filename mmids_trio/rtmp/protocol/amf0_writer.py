"""Python values to AMF0 bytes (AMF0 §2).

It stands apart from the reader because it trusts its input: what it refuses is a mistake of ours, or
a value that was built to be refused.
"""

from collections.abc import Iterable, Mapping
from struct import Struct

from mmids_trio.errors import ProtocolError
from mmids_trio.rtmp.protocol.amf0_values import Date, EcmaArray, TypedObject, Undefined, XmlDocument
from mmids_trio.rtmp.protocol.limits import MAX_AMF_DEPTH

_NUMBER = Struct(">Bd")
_DATE = Struct(">Bdh")
_SHORT = Struct(">H")
_LONG = Struct(">BI")

_STRING_MARKER = b"\x02"
_MAX_SHORT_STRING = 0xFFFF
_OBJECT_END = b"\x00\x00\x09"


def encode_all(values: Iterable[object]) -> bytes:
    """The AMF0 encodings of `values`, one after the other.

    Takes what `decode_all` yields, and ints, tuples and any mapping with string keys.  Raises `TypeError`
    for other types and `ProtocolError` for what AMF0 cannot say (nesting beyond the limit, a property
    name above 65,535 bytes, a lone surrogate).
    """
    parts: list[bytes] = []
    for value in values:
        _encode(value, parts, 0)
    return b"".join(parts)


def _encode(value: object, parts: list[bytes], depth: int) -> None:
    match value:
        case bool():
            parts.append(b"\x01\x01" if value else b"\x01\x00")
        case int() | float():
            parts.append(_NUMBER.pack(0, value))
        case XmlDocument():
            text = _utf8(value)
            parts += _LONG.pack(15, len(text)), text
        case str():
            _encode_string(value, parts)
        case None:
            parts.append(b"\x05")
        case Undefined():
            parts.append(b"\x06")
        case Date():
            parts.append(_DATE.pack(11, value.milliseconds, value.timezone))
        case Mapping() | list() | tuple():
            _encode_container(value, parts, depth + 1)
        case _:
            raise TypeError(f"AMF0 has no encoding for {type(value).__name__}")


def _encode_string(value: str, parts: list[bytes]) -> None:
    text = _utf8(value)
    if len(text) > _MAX_SHORT_STRING:
        parts += _LONG.pack(12, len(text)), text
    else:
        parts += _STRING_MARKER, _SHORT.pack(len(text)), text


def _encode_container(
    value: Mapping[str, object] | list[object] | tuple[object, ...], parts: list[bytes], depth: int
) -> None:
    if depth > MAX_AMF_DEPTH:
        raise ProtocolError(f"AMF0 value nested deeper than {MAX_AMF_DEPTH}")
    if isinstance(value, list | tuple):
        parts.append(_LONG.pack(10, len(value)))
        for item in value:
            _encode(item, parts, depth)
        return
    if isinstance(value, TypedObject):
        parts += b"\x10", _short_string(value.class_name)
    elif isinstance(value, EcmaArray):
        parts.append(_LONG.pack(8, len(value)))
    else:
        parts.append(b"\x03")
    for name, item in value.items():
        parts.append(_short_string(name))
        _encode(item, parts, depth)
    parts.append(_OBJECT_END)


def _short_string(text: str) -> bytes:
    encoded = _utf8(text)
    if len(encoded) > _MAX_SHORT_STRING:
        raise ProtocolError(f"AMF0 property name of {len(encoded)} bytes, more than {_MAX_SHORT_STRING}")
    return _SHORT.pack(len(encoded)) + encoded


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolError(f"text that has no UTF-8 form: {error.reason}") from error
