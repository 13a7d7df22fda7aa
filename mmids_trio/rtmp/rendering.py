"""One packet of a stream as the bytes that every watcher gets, made once.

A rendering is all that the fan-out knows of a protocol: log, positions and passes are the same for each.
RTMP's is this one: full (type 0) header first, so that the bytes depend on nothing sent before.
"""

from collections.abc import Mapping
from typing import Protocol

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.rtmp.protocol.chunks import serialize
from mmids_trio.rtmp.protocol.message import (
    AUDIO_CHUNK_STREAM,
    DATA_CHUNK_STREAM,
    VIDEO_CHUNK_STREAM,
)
from mmids_trio.rtmp.protocol.outgoing import (
    OUTGOING_CHUNK_SIZE,
    SET_DATA_FRAME,
    metadata_message,
    stream_begin,
    stream_eof,
)

MESSAGE_STREAM = 1
"""Message stream that the shared bytes name; what `createStream` answers to all but a few clients."""

_MESSAGE_TYPES = {
    # RTMP 1.0 §7.1: message type, and the chunk stream that it goes on.
    MediaKind.AUDIO: (AUDIO_CHUNK_STREAM, 8),
    MediaKind.VIDEO: (VIDEO_CHUNK_STREAM, 9),
    MediaKind.OTHER: (DATA_CHUNK_STREAM, 18),
}

_STREAM_ID_START, _STREAM_ID_END = 8, 12
"""Where a type 0 chunk with a basic header of one byte has its message stream id (RTMP 1.0 §5.3.1.2)."""


class Rendering(Protocol):
    """Turns what happens to a stream into bytes; stateless. Timestamps are milliseconds, modulo 2**32."""

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        """One frame or sequence header, at `timestamp` in place of its own."""

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        """The stream's metadata."""

    def stream_begin(self) -> bytes:
        """A stream starts."""

    def stream_end(self) -> bytes:
        """The stream has ended; another may follow."""


class RtmpRendering:
    """RTMP chunks of `OUTGOING_CHUNK_SIZE` on message stream 1, for watchers who were told that chunk size."""

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        """See `Rendering`."""
        chunk_stream, message_type = _MESSAGE_TYPES[packet.kind]
        return serialize(chunk_stream, message_type, MESSAGE_STREAM, timestamp, packet.data, OUTGOING_CHUNK_SIZE)

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        """`onMetaData` with an ECMA array, the only form that FFmpeg reads."""
        return metadata_message(values, timestamp, MESSAGE_STREAM)

    def stream_begin(self) -> bytes:
        """StreamBegin (RTMP 1.0 §7.1.7)."""
        return stream_begin(MESSAGE_STREAM)

    def stream_end(self) -> bytes:
        """StreamEOF: players stay and wait, unlike after `NetStream.Play.Stop`."""
        return stream_eof(MESSAGE_STREAM)


class PublishRendering(RtmpRendering):
    """The same as an encoder sends it to a server, who is told of begin and end by commands."""

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        """`onMetaData` behind `@setDataFrame`, which has a server keep it for its players."""
        return metadata_message(values, timestamp, MESSAGE_STREAM, handlers=SET_DATA_FRAME)

    def stream_begin(self) -> bytes:
        """Nothing."""
        return b""

    def stream_end(self) -> bytes:
        """Nothing."""
        return b""


def media_for_message_stream(data: bytes, stream_id: int) -> bytes:
    """Media or metadata as `RtmpRendering` made it, renamed to another message stream."""
    return data[:_STREAM_ID_START] + stream_id.to_bytes(4, "little") + data[_STREAM_ID_END:]


def control_for_message_stream(data: bytes, stream_id: int) -> bytes:
    """StreamBegin or StreamEOF as `RtmpRendering` made it, renamed: the id is the last field of the payload."""
    return data[:-4] + stream_id.to_bytes(4, "big")


_ENHANCED_VIDEO = 0x80
_ENHANCED_AUDIO = 9


def minimal_metadata(first_packets: Mapping[MediaKind, MediaPacket]) -> dict[str, object]:
    """Metadata for a stream that came without: which tracks there are, and their codecs.

    Takes a sequence header (or else a frame) of each kind.  A codec is its number in FLV, or its FourCC as a
    number (Enhanced RTMP v2, onMetaData).
    """
    values: dict[str, object] = {}
    video, audio = first_packets.get(MediaKind.VIDEO), first_packets.get(MediaKind.AUDIO)
    if video is not None:
        enhanced = bool(video.data[0] & _ENHANCED_VIDEO)
        values["videocodecid"] = _fourcc(video) if enhanced else video.data[0] & 0x0F
    if audio is not None:
        sound_format = audio.data[0] >> 4
        values["audiocodecid"] = _fourcc(audio) if sound_format == _ENHANCED_AUDIO else sound_format
    return values


def _fourcc(packet: MediaPacket) -> int:
    """The parsed codec where it is known, since more than one place may hold it; else where it usually stands."""
    codec = packet.codec.encode() if packet.codec else b""
    return int.from_bytes(codec if len(codec) == len("avc1") else packet.data[1:5], "big")
