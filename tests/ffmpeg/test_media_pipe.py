"""Events survive the way through FLV, and successive children make one timeline."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.errors import ProtocolError
from mmids_trio.ffmpeg.media_pipe import (
    ChildMedia,
    events_from_tags,
    metadata_for_a_child,
    tags_from_event,
)
from mmids_trio.media.codecs import parse_audio, parse_other, parse_video
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamMetadata, StreamStarted
from mmids_trio.media.flv import FlvReader, FlvTag, TagType, flv_header
from mmids_trio.rtmp.flv_tags import metadata_tag
from mmids_trio.rtmp.protocol import amf
from mmids_trio.testing.media import generate_stream

STREAM = StreamId("s")
HEADER = flv_header(audio=True, video=True)

timestamps = st.integers(0, 2**32 - 1)
bodies = st.binary(min_size=1, max_size=30)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
metadata = st.dictionaries(texts, st.booleans() | st.floats(allow_nan=False) | texts, max_size=5)
events = st.one_of(
    st.builds(parse_video, st.just(STREAM), timestamps, bodies),
    st.builds(parse_audio, st.just(STREAM), timestamps, bodies),
    st.builds(StreamMetadata, st.just(STREAM), metadata),
)


def through_flv(events: Sequence[MediaEvent]) -> list[MediaEvent]:
    return events_from_tags(STREAM, FlvReader().receive(HEADER + b"".join(map(tags_from_event, events))))


@given(st.lists(events, max_size=10))
def test_events_come_back_as_they_were(events: list[MediaEvent]) -> None:
    assert through_flv(events) == events


def test_a_cue_point_stays_what_it_is() -> None:
    cue = parse_other(STREAM, 7, amf.encode_all(["onCuePoint", {"name": "ad"}]))
    assert through_flv([cue]) == [cue]


def test_the_start_and_the_end_of_a_stream_are_no_tags() -> None:
    assert tags_from_event(StreamStarted(STREAM, "name")) == tags_from_event(StreamEnded(STREAM)) == b""


def test_empty_bodies_say_nothing() -> None:
    assert events_from_tags(STREAM, [FlvTag(kind, 0, b"") for kind in TagType]) == []


def test_metadata_is_written_as_the_ecma_array_that_ffmpeg_reads() -> None:
    [tag] = FlvReader().receive(HEADER + metadata_tag({"width": 640}, 5))
    assert (tag.type, tag.timestamp) == (TagType.SCRIPT, 5)
    name, values = amf.decode_all(tag.data)
    assert name == "onMetaData"
    assert isinstance(values, amf.EcmaArray)
    assert values == {"width": 640.0}


@given(st.binary(max_size=40))
def test_hostile_script_data_is_read_or_refused(data: bytes) -> None:
    body = amf.encode_all(["onMetaData"]) + data
    try:
        events = events_from_tags(STREAM, [FlvTag(TagType.SCRIPT, 0, body)])
    except ProtocolError:
        return
    assert all(isinstance(event, StreamMetadata) for event in events)


def test_a_child_gets_the_plain_part_of_the_metadata() -> None:
    kept = {"width": 640.0, "stereo": True, "encoder": "obs"}
    others = {"duration": 3600.0, "keyframes": {"times": [0.0]}, "trackinfo": [1.0], "title": "x" * 1025, "a": "\0"}
    assert metadata_for_a_child({**kept, **others, "n" * 1025: 1.0, "nothing": None}) == kept


def packets(events: Sequence[MediaEvent]) -> list[MediaPacket]:
    return [event for event in events if isinstance(event, MediaPacket)]


def output(seconds: float, seed: int = 0) -> bytes:
    return HEADER + b"".join(map(tags_from_event, generate_stream("s", seconds=seconds, seed=seed)))


def test_the_first_child_is_on_the_clock_that_it_was_fed_by() -> None:
    media = ChildMedia(STREAM)
    media.begin(90_000)
    frames = [packet for packet in packets(media.receive(output(0.2))) if not packet.is_sequence_header]
    assert frames[0].timestamp == 90_000
    assert frames[-1].timestamp == 90_000 + 185


@pytest.mark.parametrize("base", [0, 90_500, 92_000, 2**32 - 500])
def test_the_next_child_goes_on_where_its_input_does_but_never_back(base: int) -> None:
    start = 90_000 if base < 2**31 else 2**32 - 2_000
    media = ChildMedia(STREAM)
    media.begin(start)
    first = packets(media.receive(output(1)))
    media.begin(base)
    second = packets(media.receive(output(1, seed=1)))
    frames = [(packet.timestamp - start) % 2**32 for packet in (*first, *second) if not packet.is_sequence_header]
    assert frames == sorted(frames)
    assert frames[-1] - frames[0] < 4_000
    if base == 92_000:
        assert frames[len(frames) // 2] == 2_000


def test_a_child_that_is_killed_within_a_tag_leaves_nothing_behind() -> None:
    media = ChildMedia(STREAM)
    media.begin()
    media.receive(output(0.5)[:-10])
    media.begin()
    assert len(packets(media.receive(output(0.5)))) == len(generate_stream("s", seconds=0.5))
