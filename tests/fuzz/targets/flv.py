"""Invariant: FLV in any pieces gives the same tags, or a `ProtocolError`; tags are media events, and are read back.

The first byte is the size of the pieces.
"""

from mmids_trio.errors import ProtocolError
from mmids_trio.ffmpeg.media_pipe import ChildMedia, events_from_tags, tags_from_event
from mmids_trio.media.events import MediaPacket, StreamId
from mmids_trio.media.flv import FlvReader, FlvTag, flv_header, flv_tag
from tests.fuzz.reading import fed, pieces

STREAM = StreamId("fuzz")
COMPOSITION_BITS = 23

CALLS, CALLS_PER_BYTE = 2000, 60


def fuzz_one(data: bytes) -> None:
    """Read whole and in pieces, as tags and as what a child says; write and read."""
    size, wire = data[:1], data[1:]
    tags = fed(FlvReader().receive, [wire])
    assert fed(FlvReader().receive, pieces(wire, size[0] if size else 0)) == tags
    media = ChildMedia(STREAM)
    media.begin()
    fed(media.receive, pieces(wire, size[0] if size else 0))
    if tags is not None:
        assert sum(len(tag.data) for tag in tags) <= len(wire)
        written = flv_header(audio=True, video=True) + b"".join(flv_tag(t.type, t.timestamp, t.data) for t in tags)
        assert fed(FlvReader().receive, [written]) == tags
        _become_events(tags)


def _become_events(tags: list[FlvTag]) -> None:
    for tag in tags:
        try:
            events = events_from_tags(STREAM, [tag])
        except ProtocolError:
            continue
        for event in events:
            tags_from_event(event)
            if isinstance(event, MediaPacket):
                assert -(1 << COMPOSITION_BITS) <= event.composition_offset < 1 << COMPOSITION_BITS
