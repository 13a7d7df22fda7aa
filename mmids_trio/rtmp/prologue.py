"""What a player must know of a stream before its first frame: metadata and sequence headers.

Apart from the channel because when they change, and what stands in for missing metadata, is a subject of
its own.
"""

from collections.abc import Mapping

from attrs import Factory, define

from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.tracks import TrackKey, remember_header
from mmids_trio.rtmp.rendering import Rendering, minimal_metadata
from mmids_trio.rtmp.stream_log import Entry
from mmids_trio.rtmp.timeline import ChannelTimeline

METADATA_TIMESTAMP = 0
"""FFmpeg takes `onMetaData` at any later time for subtitles, and then waits for more of them."""


@define(eq=False)
class Prologue:
    """Collects metadata and sequence headers of one stream, and renders them as of now."""

    rendering: Rendering
    timeline: ChannelTimeline
    _values: Mapping[str, object] | None = None
    _headers: dict[TrackKey, MediaPacket] = Factory(dict)
    _samples: dict[MediaKind, MediaPacket] = Factory(dict)

    @property
    def has_metadata(self) -> bool:
        """Whether the source has sent metadata of its own."""
        return self._values is not None

    def set_metadata(self, values: Mapping[str, object]) -> bool:
        """Remember metadata; whether that changes anything."""
        changed = values != self._values
        self._values = values
        return changed

    def set_header(self, packet: MediaPacket) -> bool:
        """Remember a sequence header in place of its track's last one; whether that changes anything."""
        known = remember_header(self._headers, packet)
        return known is None or known.data != packet.data

    def note_track(self, packet: MediaPacket) -> bool:
        """Remember which codec a kind of media has; whether metadata made up from that changes."""
        known = self._samples.get(packet.kind)
        if known is not None and not packet.is_sequence_header:
            return False
        if packet.kind is MediaKind.OTHER:
            return False
        before = minimal_metadata(self._samples)
        self._samples[packet.kind] = packet
        return not self.has_metadata and minimal_metadata(self._samples) != before

    def metadata_entry(self) -> Entry:
        """The source's metadata, or what can be said without."""
        values = minimal_metadata(self._samples) if self._values is None else self._values
        return Entry(self.rendering.metadata(values, METADATA_TIMESTAMP), MediaKind.OTHER, self.timeline.newest)

    def entries(self) -> tuple[Entry, ...]:
        """Metadata, then video headers, then audio headers, with timestamps that follow the last frames."""
        headers = sorted(self._headers.values(), key=lambda header: header.kind is MediaKind.AUDIO)
        return (self.metadata_entry(), *(self._header_entry(header) for header in headers))

    def _header_entry(self, header: MediaPacket) -> Entry:
        timestamp = self.timeline.now(header)
        return Entry(self.rendering.packet(header, timestamp), header.kind, timestamp)
