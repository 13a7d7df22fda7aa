"""HTTP-FLV's rendering of a stream, for the fan-out: each message is one chunk of HTTP/1.1 (RFC 9112 §7.1)."""

from collections.abc import Mapping

from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.stream_log import LogEntry
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.flv import flv_header
from mmids_trio.rtmp.flv_tags import metadata_tag, packet_tag


class FlvRendering:
    """FLV tags, each in a chunk, so that all have the same bytes; `without_chunks` is for who cannot read that."""

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        """See `Rendering`."""
        return chunk(packet_tag(packet, timestamp))

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        """See `Rendering`."""
        return chunk(metadata_tag(values, timestamp))

    def stream_begin(self) -> bytes:
        """Nothing: FLV has no word for it."""
        return b""

    def stream_end(self) -> bytes:
        """Nothing: another stream may follow."""
        return b""


def chunk(data: bytes) -> bytes:
    """One chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def without_chunks(entry: LogEntry) -> bytes:
    """What a client of HTTP/1.0 gets, to whom the end of the connection is the end of the stream."""
    data = entry.data
    return data[data.index(b"\r\n") + 2 : -2]


def header_for(channel: Channel) -> bytes:
    """What an FLV stream begins with: the tracks that there are, or both where that is not known."""
    video, audio = channel.has_track(MediaKind.VIDEO), channel.has_track(MediaKind.AUDIO)
    is_unknown = not (video or audio)
    return flv_header(audio=audio or is_unknown, video=video or is_unknown)
