"""What one child gets of a live stream: an FLV stream that it can decode from its first byte on.

Pure, and apart from the pipe: where to begin, what to drop and on which clock are decided here; that the
pipe is full is seen by who writes to it.
"""

from collections.abc import Mapping

from attrs import Factory, define

from mmids_trio.ffmpeg.media_pipe import metadata_for_a_child, metadata_tag, packet_tag
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamMetadata
from mmids_trio.media.flv import flv_header
from mmids_trio.media.timeline import RESTART_MS, ChannelTimeline, is_after, shifted
from mmids_trio.media.tracks import TrackKey, is_of_main_track, remember_header

VIDEO_PATIENCE_MS = 10_000
"""How much audio goes by without any video before a child is begun without it; the longest usual group of pictures."""


@define(eq=False)
class FeedFilter:
    """Turns the events of one stream into the bytes for one child at a time.

    A child gets the FLV header, metadata and sequence headers, then everything from a key frame on (from the
    first audio frame on, where no video is about), its clock starting at 0.  Data packets are left out: FFmpeg
    takes them for subtitles; and so are tracks beside the main one of their kind, which older ones cannot tell
    apart from it.  What a later child needs is remembered; `begin` makes it the child.
    """

    dropped_packets: int = 0
    """Frames that children did not get because they were too slow."""
    dropped_groups: int = 0
    """How often that happened, each time up to the next key frame."""
    base: int | None = None
    """Timestamp of the stream (milliseconds) at which the child's clock is 0; `None` before its first frame."""
    is_outdated: bool = False
    """Whether a track or codec has appeared that this child was not told of: only another child will take it."""

    _metadata: Mapping[str, object] = Factory(dict)
    _headers: dict[TrackKey, MediaPacket] = Factory(dict)
    _codecs: dict[MediaKind, str | None] = Factory(dict)  # of every track that was seen
    _told: dict[MediaKind, str | None] = Factory(dict)  # the child's tracks; `None`: of any codec
    _timeline: ChannelTimeline = Factory(ChannelTimeline)
    _begun: set[MediaKind] = Factory(set)  # the kinds of which the child got a frame
    _audio_alone_since: int | None = None
    _is_skipping: bool = False
    _began_last: bool = False

    @property
    def codecs(self) -> frozenset[str]:
        """Codecs of the child's tracks, as far as they are known; empty before its first frame."""
        return frozenset(codec for codec in self._told.values() if codec is not None)

    def begin(self) -> bytes:
        """What comes from now on is for another child, which knows nothing yet. All that it has to read comes later.

        Which tracks there are is in the first bytes that it reads, and known for certain with its first frame.
        """
        self.base, self.is_outdated = None, False
        self._told, self._begun = {}, set()
        self._audio_alone_since = None
        self._is_skipping = self._began_last = False
        return b""

    def skip_to_key_frame(self) -> None:
        """The pipe is full: what `render` returned last is lost, and so is everything up to the next key frame.

        Without video, every frame is as good as a key frame.
        """
        if self._began_last:
            self.begin()
        self.dropped_packets += 1
        self.dropped_groups += 1
        self._is_skipping = True

    def render(self, event: MediaEvent) -> bytes:
        """What the child gets for `event`: whole tags, often none. All of them, or `skip_to_key_frame` is due."""
        self._began_last = False
        if isinstance(event, StreamMetadata):
            return self._new_metadata(event)
        if not isinstance(event, MediaPacket) or not _concerns_children(event):
            return b""
        self._notice(event)
        if event.is_sequence_header:
            return self._new_header(event)
        if self.base is None:
            return self._first_frame(event) if self._may_begin_with(event) else b""
        if event.kind not in self._told:
            return b""
        return self._skip_or_resume(event) if self._is_skipping else self._frame(event)

    def _notice(self, packet: MediaPacket) -> None:
        """Remember the track, and see whether the child knows it."""
        kind, codec = packet.kind, packet.codec or self._codecs.get(packet.kind)
        self._codecs[kind] = codec
        if self.base is not None:
            if kind in self._told and self._told[kind] is None:
                self._told[kind] = codec
            elif self._told.get(kind) != codec or kind not in self._told:
                self.is_outdated = True

    def _new_metadata(self, event: StreamMetadata) -> bytes:
        self._metadata = metadata_for_a_child(event.values)
        can_send = self.base is not None and not self._is_skipping
        return metadata_tag(self._metadata, self._timeline.newest) if can_send else b""

    def _new_header(self, header: MediaPacket) -> bytes:
        remember_header(self._headers, header)
        can_send = self.base is not None and not self._is_skipping and header.kind in self._told
        return packet_tag(header, self._timeline.place(header)) if can_send else b""

    def _may_begin_with(self, packet: MediaPacket) -> bool:
        if packet.kind is MediaKind.VIDEO:
            self._audio_alone_since = None
            return packet.is_key_frame
        if not self._is_about(MediaKind.VIDEO):
            return True
        if self._audio_alone_since is None:
            self._audio_alone_since = packet.timestamp
        return is_after(packet.timestamp, shifted(self._audio_alone_since, VIDEO_PATIENCE_MS))

    def _is_about(self, kind: MediaKind) -> bool:
        """Whether the track was seen, or the metadata says that there is one."""
        announced = "videocodecid" if kind is MediaKind.VIDEO else "audiocodecid"
        return kind in self._codecs or bool(self._metadata.get(announced))

    def _first_frame(self, first: MediaPacket) -> bytes:
        kinds = [first.kind]
        if first.kind is MediaKind.VIDEO and self._is_about(MediaKind.AUDIO):
            kinds.append(MediaKind.AUDIO)
        self._told = {kind: self._codecs.get(kind) for kind in kinds}
        self.base = first.timestamp
        # No kind of frame may come before 0, the unsigned clock's beginning.
        self._timeline = ChannelTimeline(offset=shifted(0, -self.base), last=dict.fromkeys(kinds, 0))
        self._is_skipping, self._began_last = False, True
        start = flv_header(audio=MediaKind.AUDIO in kinds, video=MediaKind.VIDEO in kinds)
        metadata = metadata_tag(self._metadata) if self._metadata else b""
        return b"".join((start, metadata, self._header_tags(), self._frame(first)))

    def _skip_or_resume(self, packet: MediaPacket) -> bytes:
        if MediaKind.VIDEO in self._told and not packet.is_key_frame:
            self.dropped_packets += 1
            return b""
        self._is_skipping = False
        return self._header_tags() + self._frame(packet)  # headers may be among what was lost

    def _header_tags(self) -> bytes:
        headers = (header for kind in self._told for header in self._headers.values() if header.kind is kind)
        return b"".join(packet_tag(header, self._timeline.now(header)) for header in headers)

    def _frame(self, packet: MediaPacket) -> bytes:
        if packet.kind not in self._begun:
            if self._is_just_before_the_beginning(packet.timestamp):
                return b""
            self._begun.add(packet.kind)
        return packet_tag(packet, self._timeline.place(packet))

    def _is_just_before_the_beginning(self, timestamp: int) -> bool:
        """Audio that came late for the key frame. What is further back is of a clock that started again."""
        assert self.base is not None  # frames come after the beginning
        return is_after(self.base, timestamp) and not is_after(shifted(self.base, -RESTART_MS), timestamp)


def _concerns_children(packet: MediaPacket) -> bool:
    return packet.kind is not MediaKind.OTHER and bool(packet.data) and is_of_main_track(packet)
