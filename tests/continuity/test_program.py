"""What is sent in the middle of a feed besides frames: it is the stream's own, and its time does not go back."""

from attrs import evolve

from mmids_trio.continuity.program import FeedMemory, Program
from mmids_trio.media.events import MediaPacket, StreamId, StreamMetadata
from mmids_trio.testing.media import generate_stream

OUT = StreamId("out")
FILM = generate_stream("source", seconds=1)
HEADER = next(packet for packet in FILM if packet.is_sequence_header)
FRAMES = [packet for packet in FILM if packet.kind is HEADER.kind and not packet.is_sequence_header]


def header_at(program: Program, timestamp: int) -> int:
    sent = program.header(evolve(HEADER, timestamp=timestamp))
    assert isinstance(sent, MediaPacket)
    assert (sent.stream_id, sent.data) == (OUT, HEADER.data)
    return sent.timestamp


def test_metadata_of_a_source_become_those_of_the_stream() -> None:
    foreign = StreamMetadata(StreamId("source"), {"title": "film"})
    assert Program(OUT).header(foreign) == StreamMetadata(OUT, {"title": "film"})
    own = StreamMetadata(OUT, {"title": "film"})
    assert Program(OUT).header(own) is own


def test_a_header_stands_at_its_own_time_unless_a_later_frame_was_sent() -> None:
    program, first = Program(OUT), FRAMES[0]
    assert header_at(program, first.timestamp + 7) == first.timestamp + 7
    program.switch(FeedMemory(), first, 0)
    last = program.frame(evolve(first, timestamp=first.timestamp + 80), 0.08)
    assert header_at(program, last.timestamp - 40) == last.timestamp
    assert header_at(program, last.timestamp + 40) == last.timestamp + 40
