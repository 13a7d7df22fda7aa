"""Media events as FLV tags and back: what goes into a child's standard input and comes out of its output.

It stands apart from FLV itself because of the metadata, which is AMF0, and from the feeding of a child because it
knows nothing of order or time.
"""

from collections.abc import Iterable, Mapping

from attrs import Factory, define, evolve

from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId, StreamMetadata
from mmids_trio.media.flv import FlvReader, FlvTag, TagType
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.media.timeline import ChannelTimeline
from mmids_trio.rtmp.flv_tags import metadata_tag, packet_tag
from mmids_trio.rtmp.protocol.events import MetadataReceived
from mmids_trio.rtmp.protocol.media_intake import read_data
from mmids_trio.rtmp.protocol.message import DATA_AMF0, Message

MAX_METADATA_TEXT = 1024
"""Characters of one text in the metadata that a child gets; encoders' names and titles are far shorter."""

_ABOUT_THE_FILE = frozenset(("duration", "filesize", "lasttimestamp", "lastkeyframetimestamp", "lastkeyframelocation"))
"""Claims about where a recording ends, which mean nothing for what a child gets of it."""


def events_from_tags(stream_id: StreamId, tags: Iterable[FlvTag]) -> list[MediaEvent]:
    """What `tags` are in a workflow: at most one event a tag, in order. Empty bodies say nothing.

    Raises `ProtocolError` for metadata that is no AMF0.
    """
    return [event for tag in tags if tag.data and (event := _event(stream_id, tag)) is not None]


def _event(stream_id: StreamId, tag: FlvTag) -> MediaEvent | None:
    if tag.type is TagType.VIDEO:
        return parse_video(stream_id, tag.timestamp, tag.data)
    if tag.type is TagType.AUDIO:
        return parse_audio(stream_id, tag.timestamp, tag.data)
    # Script data is what a data message is, and its senders have the same habits.
    read = read_data(0, Message(DATA_AMF0, 0, tag.timestamp, tag.data, 0))
    if isinstance(read, MetadataReceived):
        return StreamMetadata(stream_id, read.values)
    return None if read is None else parse_other(stream_id, read.timestamp, read.payload)


def tags_from_event(event: MediaEvent) -> bytes:
    """The tag for a packet or for metadata (at timestamp 0); nothing for the start and the end of a stream.

    Raises what `metadata_tag` raises, and `ValueError` for a packet above the largest tag.
    """
    if isinstance(event, MediaPacket):
        return packet_tag(event, event.timestamp)
    return metadata_tag(event.values) if isinstance(event, StreamMetadata) else b""


def metadata_for_a_child(values: Mapping[str, object]) -> dict[str, object]:
    """The part of a publisher's metadata that helps a child: numbers, flags and short texts about the live media.

    FFmpeg takes an index of key frames for one of the file it reads, and makes tracks of some things it finds nested.
    """
    return {
        name: value
        for name, value in values.items()
        if name not in _ABOUT_THE_FILE and _is_plain(name) and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_METADATA_TEXT and "\0" not in value
    return isinstance(value, bool | int | float)


@define(eq=False)
class ChildMedia:
    """The media of a stream that comes from the outputs of successive children, on one timeline without end.

    Call `begin` for each child, then `receive` with what it writes.
    """

    stream_id: StreamId
    _clock: SourceClock = Factory(SourceClock)
    _timeline: ChannelTimeline = Factory(ChannelTimeline)
    _reader: FlvReader = Factory(FlvReader)

    def begin(self, base: int = 0) -> None:
        """What comes from now on is from another child, whose clock starts at `base` (milliseconds) of ours.

        It is moved on where that has passed already; timestamps never go back within a kind.
        """
        self._reader, self._clock = FlvReader(), SourceClock()
        self._timeline.begin_stream()
        self._timeline.offset = base

    def receive(self, data: bytes) -> list[MediaEvent]:
        """The events that `data` completes. Raises `ProtocolError`: the child is of no use any more."""
        return [self._placed(event) for event in events_from_tags(self.stream_id, self._reader.receive(data))]

    def _placed(self, event: MediaEvent) -> MediaEvent:
        if not isinstance(event, MediaPacket):
            return event
        event = self._clock.place(event)
        timestamp = self._timeline.place(event)
        return event if timestamp == event.timestamp else evolve(event, timestamp=timestamp)
