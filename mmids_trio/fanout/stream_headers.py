"""What a late joiner must know of a stream before its first frame: metadata and sequence headers.

When they change, and what stands in for missing metadata, is decided here, for every protocol.
"""

from collections.abc import Mapping

from attrs import Factory, define

from mmids_trio.fanout.rendering import Rendering
from mmids_trio.fanout.stream_log import HeaderSet, LogEntry, StampedHeaders
from mmids_trio.media.events import MediaKind, MediaPacket
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.media.tracks import (
    MAIN_TRACK,
    TrackKey,
    forget_other_codecs,
    is_of_main_track,
    remember_header,
    track_of,
)

METADATA_TIMESTAMP = 0
"""FFmpeg takes `onMetaData` at any later time for subtitles, and then waits for more of them."""


@define(eq=False)
class StreamHeaders:
    """Collects metadata and sequence headers of one stream, and makes one set of them until they change."""

    rendering: Rendering
    timeline: ChannelTimeline
    refused_headers: int = 0
    """Sequence headers beyond the limits of `media.tracks`, which late joiners do not get."""
    _values: Mapping[str, object] | None = None
    _headers: dict[TrackKey, MediaPacket] = Factory(dict)
    _tracks: dict[MediaKind, dict[str, object]] = Factory(dict)
    """What made-up metadata says of each kind; not the packets that show it, which may be large."""
    codecs: dict[MediaKind, str | None] = Factory(dict)
    """Of the main tracks; a packet whose codec stands here, and that is no header, is not news to `note_track`."""
    _set: HeaderSet | None = None

    @property
    def has_metadata(self) -> bool:
        """Whether the source has sent metadata of its own."""
        return self._values is not None

    def has_track(self, kind: MediaKind) -> bool:
        """Whether media of that kind has been seen."""
        return kind in self._tracks

    def set_metadata(self, values: Mapping[str, object]) -> bool:
        """Remember metadata; whether that changes anything."""
        changed = values != self._values
        self._values = values
        return self._note(changed)

    def set_header(self, packet: MediaPacket) -> bool:
        """Remember a sequence header in place of its track's last one; whether that changes anything."""
        before = [header.data for header in self._headers.values()]
        self.refused_headers += not remember_header(self._headers, packet)
        return self._note(before != [header.data for header in self._headers.values()])

    def note_track(self, packet: MediaPacket) -> bool:
        """Remember which codec a kind of media has; whether metadata made up from that changes."""
        known = self._tracks.get(packet.kind)
        is_of_known_codec = packet.codec is None or packet.codec == self.codecs.get(packet.kind)
        if known is not None and is_of_known_codec and not _sets_main_track_up(packet):
            return False
        if packet.kind is MediaKind.OTHER:
            return False
        if known is not None and not is_of_main_track(packet):
            return False
        self.codecs[packet.kind] = packet.codec
        has_changed = packet.codec is not None and known is not None and forget_other_codecs(self._headers, packet)
        track = self._tracks[packet.kind] = minimal_metadata({packet.kind: packet})
        return self._note(has_changed or (not self.has_metadata and track != known))

    def metadata_entry(self) -> LogEntry:
        """The source's metadata, or what can be said without."""
        return LogEntry(self._shared().metadata, MediaKind.OTHER, self.timeline.newest)

    def stamped(self) -> StampedHeaders:
        """Metadata, then video headers, then audio headers, with timestamps that follow the last frames."""
        shared = self._shared()
        return StampedHeaders(shared, self.timeline.newest, tuple(map(self.timeline.now, shared.headers)))

    def _note(self, changed: bool) -> bool:
        if changed:
            self._set = None
        return changed

    def _shared(self) -> HeaderSet:
        if self._set is None:
            headers = sorted(self._headers.values(), key=lambda header: header.kind is MediaKind.AUDIO)
            metadata = self.rendering.metadata(self._metadata(), METADATA_TIMESTAMP)
            self._set = HeaderSet(metadata, tuple(headers), self.rendering.packet)
        return self._set

    def _metadata(self) -> Mapping[str, object]:
        if self._values is not None:
            return self._values
        nothing: dict[str, object] = {}
        return self._tracks.get(MediaKind.VIDEO, nothing) | self._tracks.get(MediaKind.AUDIO, nothing)


def _sets_main_track_up(packet: MediaPacket) -> bool:
    if not packet.is_sequence_header:
        return False
    key = track_of(packet)
    return MAIN_TRACK in key.tracks and not key.is_description


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
