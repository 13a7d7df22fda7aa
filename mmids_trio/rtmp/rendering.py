"""RTMP's rendering of a stream, for the fan-out: the bytes that every watcher gets, made once.

Full (type 0) headers come first, so that the bytes depend on nothing sent before.
"""

from collections.abc import Mapping

from mmids_trio.fanout.rendering import Readdress
from mmids_trio.fanout.stream_log import LogEntry
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


def for_message_stream(stream_id: int) -> Readdress | None:
    """What gives a client the stream under message stream `stream_id`; `None` where the shared bytes do as they are.

    In StreamBegin and StreamEOF the id is the last field of the payload, in all else it stands in the header.
    """
    if stream_id == MESSAGE_STREAM:
        return None
    in_header, in_payload = stream_id.to_bytes(4, "little"), stream_id.to_bytes(4, "big")

    def rename(entry: LogEntry) -> bytes:
        data = entry.data
        if entry.kind is None:
            return data[: -len(in_payload)] + in_payload
        return data[:_STREAM_ID_START] + in_header + data[_STREAM_ID_END:]

    return rename
