"""FLV without I/O: bytes in, tags out, and back; how children are fed and read through pipes.

It stands apart from what is in the tags: bodies and script data are opaque here, so Enhanced RTMP and
codecs that nobody has heard of pass through.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from attrs import frozen

from mmids_trio.errors import ProtocolError

MAX_TAG = 0xFFFFFF
"""Bytes of one tag's body: all that its 24-bit size can say (FLV 10.1 §E.4.1)."""

MAX_SCRIPT = 1024 * 1024
"""Bytes of one script tag's body; the limit that RTMP's data messages have here, too."""

MAX_FILE_HEADER = 1024
"""Bytes of the file's header. All known writers make it 9; what is beyond is skipped (FLV 10.1 §E.2)."""

_SIGNATURE, _VERSION = b"FLV", 1
_HAS_AUDIO, _HAS_VIDEO = 4, 1
_RESERVED, _FILTER = 0xC0, 0x20  # bits of a tag's first byte

_FILE_HEADER = Struct(">3sBBI")
_TAG_START = Struct(">IIHB")  # type and size; timestamp, its highest byte last; stream id
_TAG_HEADER = Struct(">4xII3x")  # the same for reading, behind the size of the tag before
_SIZE = Struct(">I")

_SMALL = 4096
"""Pieces of a body up to this many bytes are gathered by copying: many small objects would cost more."""


class TagType(IntEnum):
    """What a tag carries (FLV 10.1 §E.4.1)."""

    AUDIO = 8
    VIDEO = 9
    SCRIPT = 18


_TYPES: Final[dict[int, TagType]] = {int(kind): kind for kind in TagType}


@frozen
class FlvTag:
    """One tag: `timestamp` in milliseconds, 0 to 2**32 - 1; `data` is the body, which may be empty."""

    type: TagType
    timestamp: int
    data: bytes


class FlvReader:
    """Reads an FLV file or stream that comes in pieces of any size.

    It holds no more than what it received of one tag.  `skipped` counts the tags of types that FLV does not define.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._head = bytearray()
        self._head_size = _FILE_HEADER.size  # of the file's header first, then of each tag's
        self._type: TagType | None = None  # of the tag whose body is due; `None`: skip the body
        self._timestamp = 0
        self._missing = 0  # bytes of the body that are still to come
        self._parts: list[bytearray | memoryview] = []

    def receive(self, data: bytes) -> list[FlvTag]:
        """The tags that `data` completes, each as soon as its last byte is there.

        A body is copied once, except for the parts of it that come in small pieces.  The sizes of previous tags are
        ignored, since some writers get them wrong.  Raises `ProtocolError` for what is not FLV, for encrypted
        tags and for script data above `MAX_SCRIPT`; the tags before it in the same `data` are lost, and every
        later call raises as well.
        """
        tags: list[FlvTag] = []
        position, end = 0, len(data)
        while position < end:
            take = self._take_body if self._missing else self._take_head
            position = take(data, position, tags)
        return tags

    def _take_head(self, data: bytes, position: int, tags: list[FlvTag]) -> int:
        """Gather a header from `position` on; returns the position behind what was taken, or behind `data`."""
        end = position + self._head_size - len(self._head)
        self._head += data[position:end]
        if len(self._head) == self._head_size:
            # A head that cannot be read stays, so that nothing behind it is taken for FLV.
            if self._head_size == _FILE_HEADER.size:
                self._read_file_header()
            else:
                self._read_tag_header(tags)
            self._head.clear()
            self._head_size = _TAG_HEADER.size
        return end

    def _read_file_header(self) -> None:
        signature, version, _, size = _FILE_HEADER.unpack(self._head)
        if signature != _SIGNATURE or version != _VERSION or not _FILE_HEADER.size <= size <= MAX_FILE_HEADER:
            raise ProtocolError(f"expected the header of an FLV file, got {bytes(self._head).hex(' ')}")
        self._missing = size - _FILE_HEADER.size

    def _read_tag_header(self, tags: list[FlvTag]) -> None:
        first, timestamp = _TAG_HEADER.unpack(self._head)
        kind, size = first >> 24, first & MAX_TAG
        self._type = _tag_type(kind, size)
        self._timestamp = timestamp >> 8 | (timestamp & 0xFF) << 24
        self._missing = size
        if self._type is None:
            self.skipped += 1
        elif not size:
            tags.append(FlvTag(self._type, self._timestamp, b""))

    def _take_body(self, data: bytes, position: int, tags: list[FlvTag]) -> int:
        end = min(position + self._missing, len(data))
        self._missing -= end - position
        if self._type is None:
            return end
        if self._missing:
            self._keep(data, position, end)
        elif self._parts:
            self._keep(data, position, end)
            tags.append(FlvTag(self._type, self._timestamp, b"".join(self._parts)))
            self._parts = []
        else:
            tags.append(FlvTag(self._type, self._timestamp, data[position:end]))
        return end

    def _keep(self, data: bytes, position: int, end: int) -> None:
        if end - position > _SMALL:
            self._parts.append(memoryview(data)[position:end])
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += data[position:end]
        else:
            self._parts.append(bytearray(data[position:end]))


def _tag_type(kind: int, size: int) -> TagType | None:
    """The type in the first byte of a tag, `None` if FLV does not define it."""
    if kind & _RESERVED:
        raise ProtocolError(f"expected an FLV tag, got one that begins with 0x{kind:02x}")
    if kind & _FILTER:
        raise ProtocolError("encrypted FLV tags are not supported")
    if kind == TagType.SCRIPT and size > MAX_SCRIPT:
        raise ProtocolError(f"FLV script data of {size} bytes, more than {MAX_SCRIPT}")
    return _TYPES.get(kind)


def flv_header(*, audio: bool, video: bool) -> bytes:
    """The header of a file with these tracks, and the size of the tag before the first (FLV 10.1 §E.2, §E.3).

    Readers wait for each track that is announced, and may never see one that is not.
    """
    tracks = (_HAS_AUDIO if audio else 0) | (_HAS_VIDEO if video else 0)
    return _FILE_HEADER.pack(_SIGNATURE, _VERSION, tracks, _FILE_HEADER.size) + bytes(4)


def flv_tag(tag_type: TagType, timestamp: int, data: bytes) -> bytes:
    """One tag and its size (FLV 10.1 §E.3, §E.4.1); `timestamp` in milliseconds, taken modulo 2**32.

    Raises `ValueError` for a body above `MAX_TAG`.
    """
    size = len(data)
    if size > MAX_TAG:
        raise ValueError(f"an FLV tag holds up to {MAX_TAG} bytes, not {size}")
    low, high = timestamp & 0xFFFFFF, timestamp >> 24 & 0xFF
    head = _TAG_START.pack(tag_type << 24 | size, low << 8 | high, 0, 0)
    return b"".join((head, data, _SIZE.pack(len(head) + size)))
