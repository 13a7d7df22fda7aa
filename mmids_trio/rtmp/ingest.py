"""What a publisher sends, as media events. Apart from the session because it is one of the hot paths."""

from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
from mmids_trio.media.events import MediaEvent, StreamId, StreamMetadata
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.rtmp.protocol.events import DataReceived, MediaReceived, MetadataReceived
from mmids_trio.rtmp.protocol.message import VIDEO

Media = MediaReceived | MetadataReceived | DataReceived


def media_events(stream_id: StreamId, media: Media, clock: SourceClock) -> list[MediaEvent]:
    """What `media` is in a workflow: one event a message, in order, on the timeline of `clock`."""
    if isinstance(media, MediaReceived):
        place = clock.place
        return [
            place(
                parse_video(stream_id, message.timestamp, message.payload)
                if message.type_id == VIDEO
                else parse_audio(stream_id, message.timestamp, message.payload)
            )
            for message in media.messages
        ]
    if isinstance(media, MetadataReceived):
        return [StreamMetadata(stream_id, media.values)]
    return [clock.place(parse_other(stream_id, media.timestamp, media.payload))]
