"""The four events that travel through a workflow; every one names its stream.

A media packet carries the FLV tag body exactly as it came from its source (one `bytes`, never copied
again), so RTMP, FLV pipes and HTTP-FLV all forward without re-encoding and a codec that nobody has
heard of passes through.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, NewType

from attrs import define, field, frozen

from mmids_trio.stream_request import StreamOrigin

StreamId = NewType("StreamId", str)
"""Identifies one stream, from its start to its end, across all steps and workflows of a server."""


class MediaKind(Enum):
    """What a packet is, by the type of RTMP message or FLV tag that carried it."""

    AUDIO = "audio"
    VIDEO = "video"
    OTHER = "other"

    # Each member is one object. `Enum` hashes its name, by a call of Python's for every packet on every link.
    __hash__ = object.__hash__


VIDEO, AUDIO, OTHER = MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.OTHER
"""For the hot paths: to find a member in its class costs 0.2 us in Python 3.11, by these names a tenth."""


@frozen
class Rendition:
    """Says that a stream shows the same as another one in another quality, on the same clock, key frame by key frame.

    Only a step that made it so can say that: it is no claim of a publisher's.  `of` is the other stream, which goes on
    beside it under its own name; `label` is what people choose it by (`720p`), `kbps` what its video was made for.
    """

    of: StreamId
    label: str
    kbps: int


@frozen
class StreamStarted:
    """Prepare: media of this stream follows. `stream_name` is what people know it by.

    `origin`: whose it is, where it has a publisher.  `rendition`: of which stream it is one, if it is.
    """

    stream_id: StreamId
    stream_name: str
    origin: StreamOrigin | None = field(default=None, eq=False, repr=False)
    rendition: Rendition | None = None

    @property
    def source_id(self) -> StreamId:
        """The stream that somebody brought, which this one is or shows."""
        return self.stream_id if self.rendition is None else self.rendition.of


@frozen
class StreamMetadata:
    """New `onMetaData` of a stream, replacing what was known. Values are AMF0 values as Python objects."""

    stream_id: StreamId
    values: Mapping[str, object]


if TYPE_CHECKING:
    from attrs import frozen as packet_class
else:
    # Frozen for who writes and who checks the code. To watch over it while it runs costs more than to make a packet
    # (1.1 us instead of 0.3), and every frame is one.
    packet_class = define(unsafe_hash=True)


@packet_class
class MediaPacket:
    """One frame or one sequence header (which is whatever a decoder has to be told before the frames, so colours and
    channels as well).

    `timestamp` is the decoding time in milliseconds on the stream's own clock, 0 to 2**32 - 1 (it wraps,
    RTMP 1.0 §5.3.1.2); `composition_offset` is added to it for the presentation time (milliseconds, signed).
    `codec` is a FourCC-like name (`avc1`, `mp4a`, ...), `None` where it is not known.  `data` is the FLV tag body.
    """

    stream_id: StreamId
    kind: MediaKind
    timestamp: int
    data: bytes
    codec: str | None = None
    is_key_frame: bool = False
    is_sequence_header: bool = False
    composition_offset: int = 0


@frozen
class StreamEnded:
    """The source is gone; nothing more comes under this id."""

    stream_id: StreamId


MediaEvent = StreamStarted | StreamMetadata | MediaPacket | StreamEnded
