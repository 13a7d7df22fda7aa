"""What one child gets of a live stream: an FLV stream that it can decode from its first byte to its last.

Pure, and apart from the pipe: where to begin, what to drop, on which clock, and when only another child can go on, are
decided here; that the pipe is full is seen by who writes to it.

A child is told its tracks and their decoder configurations once, with its first frames.  ffmpeg 5.1 goes on with that
configuration whatever comes later, and newer ones with half of it, so a child is never shown another one:

    what comes                               the child
    a header that says the same again        goes on
    another configuration or codec           gets no more of that track; is outdated with the next frame that can begin
    a track that it was not told of          goes on without it; is outdated with the next frame that can begin
    an announced track, but no frame of it   is begun without it after `TRACK_PATIENCE_MS`, or with a second key frame
"""

from collections.abc import Mapping

from attrs import Factory, define, frozen

from mmids_trio.ffmpeg.media_pipe import metadata_for_a_child
from mmids_trio.media.configuration import VideoConfiguration, needs_header, read_configuration
from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamMetadata
from mmids_trio.media.flv import flv_header
from mmids_trio.media.payload import payload_of
from mmids_trio.media.timeline import RESTART_MS, ChannelTimeline, is_after, shifted
from mmids_trio.media.tracks import TrackKey, is_of_main_track, remember_header
from mmids_trio.rtmp.flv_tags import metadata_tag, packet_tag

VIDEO_PATIENCE_MS = 10_000
"""How much audio goes by without a key frame before a child is begun without video; the longest usual group of
pictures. Frames whose sequence header does not come wait as long for it."""

TRACK_PATIENCE_MS = 1_000
"""How long a track that was announced, by metadata or a sequence header, may take to its first frame."""

MAX_HELD_BYTES = 4 * 1024 * 1024
"""Of the first frames, while a track may still come; a second of pictures at 32 Mbit/s."""

_ABOUT_AUDIO = ("audio", "stereo")
_ABOUT_VIDEO = ("video", "width", "height", "framerate")
"""How the names of metadata about a track begin."""


@frozen
class _Format:
    """What a decoder has to know of a track's frames; two that are equal need no other decoder."""

    codec: str | None
    configuration: bytes | None = None
    """As the sequence header has it; `None` where there was none."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that would have to come before frames."""
        return self.configuration is not None or not needs_header(self.codec)


@define(eq=False)
class FeedFilter:
    """Turns the events of one stream into the bytes for one child at a time.

    A child gets the FLV header, metadata and sequence headers, then everything from a key frame on (from the
    first audio frame on, where no video is about), its clock starting at 0.  Data packets are left out: FFmpeg
    takes them for subtitles; and so are tracks beside the main one of their kind, which older ones cannot tell
    apart from it.  What a later child needs is remembered; `begin` makes it the child.
    """

    takes_configurations: bool = False
    """Whether a child can go on with another decoder configuration of the same codec, as FLV's muxer does."""
    dropped_packets: int = 0
    """Frames that children did not get because they were too slow."""
    dropped_groups: int = 0
    """How often that happened, each time up to the next key frame."""
    base: int | None = None
    """Timestamp of the stream (milliseconds) at which the child's clock is 0; `None` before its first frame."""
    is_outdated: bool = False
    """Whether only another child can take what `render` was given last, and all that follows."""

    _metadata: Mapping[str, object] = Factory(dict)
    _headers: dict[TrackKey, MediaPacket] = Factory(dict)
    _formats: dict[MediaKind, _Format] = Factory(dict)  # of every track, as it is now
    _told: dict[MediaKind, _Format] = Factory(dict)  # of the child's tracks
    _shown: set[MediaKind] = Factory(set)  # the kinds of which there was a frame since the last child began
    _has_changed: bool = False
    _timeline: ChannelTimeline = Factory(ChannelTimeline)
    _begun: set[MediaKind] = Factory(set)  # the kinds of which the child got a frame
    _held: list[MediaPacket] = Factory(list)
    _held_bytes: int = 0
    _waiting_since: int | None = None
    """Timestamp of the first frame that might have begun a child, had it been a key frame or had a header."""
    _is_skipping: bool = False
    _began_last: bool = False

    @property
    def codecs(self) -> frozenset[str]:
        """Codecs of the stream's tracks, as far as they are known by now."""
        return frozenset(format.codec for format in self._formats.values() if format.codec is not None)

    def begin(self) -> bytes:
        """What comes from now on is for another child, which knows nothing yet. All that it has to read comes later.

        Which tracks there are is in the first bytes that it reads, and known for certain with its first frames.
        """
        self.base, self.is_outdated = None, False
        self._told, self._begun, self._shown = {}, set(), set()
        self._has_changed = False
        self._held, self._held_bytes = [], 0
        self._waiting_since = None
        self._is_skipping = self._began_last = False
        return b""

    def finish(self) -> bytes:
        """Nothing more comes: what is left for the child."""
        return self._release() if self._held else b""

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
        if event.is_sequence_header:
            return self._new_header(event)
        self._note_frame(event)
        if self.base is None:
            return self._hold(event) if self._held or self._may_begin_with(event) else b""
        self.is_outdated = self._has_changed and self._may_begin_with(event)
        if self.is_outdated or not self._is_as_told(event.kind):
            return b""
        return self._skip_or_resume(event) if self._is_skipping else self._frame(event)

    # What is known of the stream.

    def _note_frame(self, packet: MediaPacket) -> None:
        kind, known = packet.kind, self._formats.get(packet.kind)
        is_new = kind not in self._shown
        self._shown.add(kind)
        if known is None or (packet.codec is not None and packet.codec != known.codec):
            self._note_format(kind, _Format(packet.codec))
        elif is_new:
            self._look_for_changes()

    def _new_metadata(self, event: StreamMetadata) -> bytes:
        self._metadata = metadata_for_a_child(event.values)
        can_send = self.base is not None and not self._is_skipping and not self._has_changed
        return metadata_tag(self._metadata_told(), self._timeline.newest) if can_send else b""

    def _new_header(self, header: MediaPacket) -> bytes:
        remember_header(self._headers, header)
        payload = payload_of(header)
        if payload is not None and payload.data and not payload.is_description:
            self._note_format(header.kind, _Format(header.codec, payload.data))
        if self.base is None or self._is_skipping or not self._is_as_told(header.kind):
            return b""
        return packet_tag(header, self._timeline.place(header))

    def _note_format(self, kind: MediaKind, format: _Format) -> None:
        known, self._formats[kind] = self._formats.get(kind), format
        if known is not None and known.is_whole and known != format:
            self._held, self._held_bytes = [], 0  # their decoder would be told of the new format only
        self._look_for_changes()

    def _look_for_changes(self) -> None:
        kinds = self._told.keys() | self._shown
        self._has_changed = self.base is not None and not all(
            self._is_as_told(kind) for kind in kinds if kind in self._told or self._formats[kind].is_whole
        )

    def _is_as_told(self, kind: MediaKind) -> bool:
        told, now = self._told.get(kind), self._formats.get(kind)
        if told is None or now is None:
            return False
        return told.codec == now.codec if self.takes_configurations else told == now

    # The beginning.

    def _may_begin_with(self, packet: MediaPacket) -> bool:
        """Whether a child can decode from `packet` on, or has waited long enough for one that it can."""
        format = self._formats[packet.kind]
        if packet.kind is MediaKind.VIDEO:
            if packet.is_key_frame and format.is_whole:
                return True
            if format.is_whole:
                self._waiting_since = None  # and so is the audio: pictures come, if not yet a key frame
                return False
            return self._has_waited(packet, VIDEO_PATIENCE_MS) and packet.is_key_frame
        if not format.is_whole:
            return MediaKind.VIDEO not in self._shown and self._has_waited(packet, VIDEO_PATIENCE_MS)
        if MediaKind.VIDEO in self._shown:
            return self._has_waited(packet, VIDEO_PATIENCE_MS)
        return not self._is_announced(MediaKind.VIDEO) or self._has_waited(packet, TRACK_PATIENCE_MS)

    def _has_waited(self, packet: MediaPacket, patience: int) -> bool:
        if self._waiting_since is None:
            self._waiting_since = packet.timestamp
        return is_after(packet.timestamp, shifted(self._waiting_since, patience))

    def _is_announced(self, kind: MediaKind) -> bool:
        """Whether a sequence header (an empty one too: libaom sends it first) or the metadata tells of such a track."""
        codec_id = "videocodecid" if kind is MediaKind.VIDEO else "audiocodecid"
        has_header = any(header.kind is kind for header in self._headers.values())
        return kind in self._formats or has_header or bool(self._metadata.get(codec_id))

    def _hold(self, packet: MediaPacket) -> bytes:
        """Keep the first frames together until it is known which tracks there are."""
        is_second_key_frame = bool(self._held) and packet.is_key_frame
        self._held.append(packet)
        self._held_bytes += len(packet.data)
        first = self._held[0]
        is_late = is_second_key_frame or is_after(packet.timestamp, shifted(first.timestamp, TRACK_PATIENCE_MS))
        if is_late or self._held_bytes > MAX_HELD_BYTES or not self._waits_for_audio(first):
            return self._release()
        return b""

    def _waits_for_audio(self, first: MediaPacket) -> bool:
        if first.kind is MediaKind.AUDIO or not self._is_announced(MediaKind.AUDIO):
            return False
        return MediaKind.AUDIO not in self._shown or not self._formats[MediaKind.AUDIO].is_whole

    def _release(self) -> bytes:
        """Tell the child its tracks, and give it what was held."""
        held, self._held, self._held_bytes = self._held, [], 0
        first = held[0]
        kinds = [first.kind]
        if first.kind is MediaKind.VIDEO and MediaKind.AUDIO in self._shown:
            kinds += [MediaKind.AUDIO] * self._formats[MediaKind.AUDIO].is_whole
        self._told = {kind: self._formats[kind] for kind in kinds}
        self.base = first.timestamp
        # No kind of frame may come before 0, the unsigned clock's beginning.
        self._timeline = ChannelTimeline(offset=shifted(0, -self.base), last=dict.fromkeys(kinds, 0))
        self._is_skipping, self._began_last, self._waiting_since = False, True, None
        self._look_for_changes()
        start = flv_header(audio=MediaKind.AUDIO in kinds, video=MediaKind.VIDEO in kinds)
        metadata = metadata_tag(self._metadata_told()) if self._metadata else b""
        frames = (self._frame(packet) for packet in held if packet.kind in self._told)
        return b"".join((start, metadata, self._header_tags(), *frames))

    def _metadata_told(self) -> Mapping[str, object]:
        """The metadata about the child's tracks. The size is that of the pictures: few encoders say a new one here."""
        untold = (
            *(() if MediaKind.AUDIO in self._told else _ABOUT_AUDIO),
            *(() if MediaKind.VIDEO in self._told else _ABOUT_VIDEO),
        )
        values = {name: value for name, value in self._metadata.items() if not name.startswith(untold)}
        if "width" in values:
            for configuration in map(read_configuration, self._headers.values()):
                if isinstance(configuration, VideoConfiguration) and configuration.size is not None:
                    values["width"], values["height"] = map(float, configuration.size)
        return values

    # Frames.

    def _skip_or_resume(self, packet: MediaPacket) -> bytes:
        if MediaKind.VIDEO in self._told and not packet.is_key_frame:
            self.dropped_packets += 1
            return b""
        self._is_skipping = False
        return self._header_tags() + self._frame(packet)  # headers may be among what was lost

    def _header_tags(self) -> bytes:
        headers = (
            header
            for kind, told in self._told.items()
            for header in self._headers.values()
            if header.kind is kind and header.codec == told.codec  # of another codec: nothing took its place since
        )
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
