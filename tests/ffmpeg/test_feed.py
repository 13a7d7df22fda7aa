"""A child's feed begins where it can be decoded, on a clock of its own, and loses whole groups of pictures at most."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.feed import VIDEO_PATIENCE_MS, FeedFilter
from mmids_trio.ffmpeg.media_pipe import events_from_tags
from mmids_trio.media.codecs import parse_audio, parse_other
from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.flv import FlvReader, FlvTag, TagType, flv_header
from mmids_trio.testing.checker import Report, StreamChecker
from mmids_trio.testing.media import AUDIO_HEADER, VIDEO_HEADER, generate_stream
from tests.support.wrappings import CODED_FRAMES, SEQUENCE_START, Wrapping, wrappings

STREAM = StreamId("stream")
METADATA = StreamMetadata(STREAM, {"width": 640.0, "videocodecid": 7.0, "audiocodecid": 10.0})
GOP_MS = 1000  # of generated streams


def fed(feed: FeedFilter, events: Iterable[MediaEvent]) -> bytes:
    return b"".join(map(feed.render, events))


def tags(data: bytes) -> list[FlvTag]:
    return FlvReader().receive(data)


def summary(data: bytes) -> list[tuple[TagType, int]]:
    return [(tag.type, tag.timestamp) for tag in tags(data)]


def report(sent: list[MediaPacket], data: bytes) -> Report:
    checker = StreamChecker(sent)
    checker.receive_packets(event for event in events_from_tags(STREAM, tags(data)) if isinstance(event, MediaPacket))
    return checker.report()


@given(st.sampled_from((0, 40_123, 2**31 - 700, 2**32 - 700)), st.integers(0, 60))
def test_a_feed_begins_with_a_key_frame_at_zero_wherever_it_comes_in(start: int, join: int) -> None:
    sent = generate_stream(seconds=3, start_timestamp=start)
    feed = FeedFilter()
    feed.begin()
    data = fed(feed, [METADATA, *sent[:2], *sent[2 + join :]])
    first = tags(data)[:4]
    assert data.startswith(flv_header(audio=True, video=True))
    assert [tag.type for tag in first] == [TagType.SCRIPT, TagType.VIDEO, TagType.AUDIO, TagType.VIDEO]
    assert [tag.data for tag in first[1:3]] == [VIDEO_HEADER, AUDIO_HEADER]
    assert first[3].data[:2] == b"\x17\x01"
    assert [tag.timestamp for tag in first] == [0, 0, 0, 0]
    assert report(sent, data).is_flawless_from_join
    assert summary(data)[-1][1] < 3_000
    assert feed.base is not None
    assert (feed.base - start) % 2**32 % GOP_MS == 0


def test_a_feed_of_audio_alone_begins_at_once() -> None:
    sent = generate_stream(seconds=1, video=False, start_timestamp=500)
    data = fed(FeedFilter(), sent)
    assert data.startswith(flv_header(audio=True, video=False))
    assert not report(sent, data).missed
    assert summary(data)[:3] == [(TagType.AUDIO, 0), (TagType.AUDIO, 0), (TagType.AUDIO, 23)]


def test_a_feed_of_video_alone_announces_no_audio() -> None:
    sent = generate_stream(seconds=1, audio=False)
    assert fed(FeedFilter(), sent).startswith(flv_header(audio=False, video=True))


def test_a_track_that_only_the_metadata_speaks_of_is_announced() -> None:
    video = generate_stream(seconds=1, audio=False)
    audio = generate_stream(seconds=1, video=False)
    feed = FeedFilter()
    data = fed(feed, [METADATA, *video[:5], *audio[:5]])
    assert data.startswith(flv_header(audio=True, video=True))
    assert not feed.is_outdated


@pytest.mark.parametrize("sign", [METADATA, generate_stream(seconds=1)[0]])
def test_video_that_never_comes_is_waited_for_for_a_while(sign: MediaEvent) -> None:
    audio = generate_stream(seconds=12, video=False)
    feed = FeedFilter()
    data = fed(feed, [sign, *audio])
    assert data.startswith(flv_header(audio=True, video=False))
    assert feed.base is not None
    assert VIDEO_PATIENCE_MS < feed.base < VIDEO_PATIENCE_MS + 50
    assert not feed.is_outdated
    fed(feed, generate_stream(seconds=1, audio=False, start_timestamp=12_000))
    assert feed.is_outdated


def test_video_without_a_key_frame_is_waited_for_as_long_as_it_comes() -> None:
    sent = generate_stream(seconds=15, gop=1_000)
    assert fed(FeedFilter(), [packet for packet in sent if not packet.is_key_frame]) == b""


def test_a_track_that_appears_later_makes_the_feed_outdated_and_is_left_out() -> None:
    audio = generate_stream(seconds=1, video=False)
    video = generate_stream(seconds=1, audio=False)
    feed = FeedFilter()
    data = fed(feed, [*audio[:5], *video])
    assert feed.is_outdated
    assert {kind for kind, _ in summary(data)} == {TagType.AUDIO}
    feed.begin()
    assert not feed.is_outdated
    data = fed(feed, [*video[1:], *audio[1:]])
    assert data.startswith(flv_header(audio=True, video=True))
    assert tags(data)[0].data == VIDEO_HEADER


def test_another_codec_makes_the_feed_outdated_another_configuration_does_not() -> None:
    sent = generate_stream(seconds=1)
    feed = FeedFilter()
    fed(feed, sent)
    feed.render(evolve(sent[0], data=VIDEO_HEADER + b"\x00"))
    assert not feed.is_outdated
    feed.render(evolve(sent[0], codec="hvc1"))
    assert feed.is_outdated


def test_the_next_child_gets_the_latest_headers_and_metadata() -> None:
    sent = generate_stream(seconds=3)
    new_header = evolve(sent[0], data=VIDEO_HEADER + b"\x00", timestamp=10)
    new_metadata = StreamMetadata(STREAM, {"width": 1280.0})
    feed = FeedFilter()
    running = fed(feed, [METADATA, *sent[:40], new_metadata, new_header])
    assert [tag.data for tag in tags(running)[-1:]] == [new_header.data]
    feed.begin()
    first = tags(fed(feed, sent[40:]))
    assert events_from_tags(STREAM, first[:1]) == [new_metadata]
    assert first[1].data == new_header.data


def test_a_feed_has_the_main_tracks_alone_with_all_that_describes_them() -> None:
    def audio(data: bytes, timestamp: int = 0) -> MediaPacket:
        return parse_audio(STREAM, timestamp, data)

    main = [audio(b"\x90Opushead"), audio(b"\x94Opus\x01\x06\0\0\0\x3f"), audio(b"\x91Opusframe", 20)]
    beside = [audio(b"\x95\x00mp4a\x01\x12\x10"), audio(b"\x95\x01mp4a\x01frame", 20)]
    feed = FeedFilter()
    for _ in range(2):  # also for a child that comes in later
        feed.begin()
        data = fed(feed, [main[0], beside[0], main[1], beside[1], main[2], beside[1]])
        assert [tag.data for tag in tags(data)] == [packet.data for packet in main]
        assert not feed.is_outdated


def test_data_packets_and_the_ends_of_streams_are_left_out() -> None:
    sent = generate_stream(seconds=1)
    feed = FeedFilter()
    fed(feed, sent)
    others: list[MediaEvent] = [
        StreamStarted(STREAM, "n"),
        parse_other(STREAM, 0, b"x"),
        StreamEnded(STREAM),
        evolve(sent[5], data=b""),
    ]
    assert fed(feed, others) == b""


def test_audio_that_comes_late_for_the_key_frame_is_left_out() -> None:
    sent = generate_stream(seconds=1, start_timestamp=100)
    late = [evolve(packet, timestamp=90) for packet in sent if packet.kind is MediaKind.AUDIO][1:2]
    data = fed(FeedFilter(), [*sent[:3], *late, *sent[3:]])
    assert report(sent, data).is_flawless_from_join
    assert len(tags(data)) == len(sent)


def test_a_clock_that_starts_again_goes_on_in_the_feed() -> None:
    first = generate_stream(seconds=2, start_timestamp=3_600_000)
    second = generate_stream(seconds=2, seed=1)
    data = fed(FeedFilter(), [*first, *second[2:]])
    assert report([*first, *second[2:]], data).is_flawless_from_join
    assert 3_900 < summary(data)[-1][1] < 4_000


def fed_through_a_pipe_that_is_full_at(places: set[int], sent: list[MediaPacket], feed: FeedFilter) -> bytes:
    written = []
    for place, packet in enumerate(sent):
        data = feed.render(packet)
        if data and place in places:
            feed.skip_to_key_frame()
        else:
            written.append(data)
    return b"".join(written)


@given(st.sets(st.integers(0, 220), max_size=8), st.booleans(), st.booleans())
def test_whatever_a_full_pipe_loses_the_rest_can_be_decoded(full: set[int], audio: bool, video: bool) -> None:
    sent = generate_stream(seconds=4, audio=audio, video=video or not audio)
    feed = FeedFilter()
    data = fed_through_a_pipe_that_is_full_at(full, sent, feed)
    found = report(sent, data)
    assert evolve(found, missed=(), gaps=()).is_flawless_from_join
    assert feed.dropped_packets >= len(found.gaps)
    assert (feed.dropped_groups == 0) == (not feed.dropped_packets)


def test_a_full_pipe_costs_the_rest_of_the_group_and_it_is_counted() -> None:
    sent = generate_stream(seconds=3)
    feed = FeedFilter()
    data = fed_through_a_pipe_that_is_full_at({10}, sent, feed)
    resumed = next(place for place in range(10, len(sent)) if sent[place].is_key_frame)
    assert feed.dropped_packets == resumed - 10
    assert feed.dropped_groups == 1
    assert report(sent, data).gaps == tuple(range(10, resumed))
    assert (TagType.VIDEO, 1000) in summary(data)


def test_a_header_that_a_full_pipe_lost_comes_with_the_next_key_frame() -> None:
    sent = generate_stream(seconds=3)
    changed = evolve(sent[0], data=VIDEO_HEADER + b"\x00", timestamp=sent[40].timestamp)
    feed = FeedFilter()
    data = fed_through_a_pipe_that_is_full_at({40}, [*sent[:40], changed, *sent[40:]], feed)
    assert changed.data in [tag.data for tag in tags(data)]


def test_a_beginning_that_was_lost_begins_again() -> None:
    sent = generate_stream(seconds=3)
    data = fed_through_a_pipe_that_is_full_at({2}, sent, FeedFilter())
    assert data.startswith(flv_header(audio=True, video=True))
    assert report(sent, data).is_flawless_from_join


def test_after_a_loss_audio_alone_goes_on_at_once() -> None:
    sent = generate_stream(seconds=1, video=False)
    feed = FeedFilter()
    data = fed_through_a_pipe_that_is_full_at({10}, sent, feed)
    assert report(sent, data).gaps == (10,)
    assert feed.dropped_packets == 1


packets = st.builds(
    FlvTag, st.sampled_from((TagType.AUDIO, TagType.VIDEO)), st.integers(0, 2**32 - 1), st.binary(max_size=8)
)


@given(st.lists(packets, max_size=20), st.sets(st.integers(0, 20)))
def test_whatever_comes_the_feed_is_flv_whose_frames_never_go_back(hostile: list[FlvTag], full: set[int]) -> None:
    events = [event for event in events_from_tags(STREAM, hostile) if isinstance(event, MediaPacket)]
    written = tags(fed_through_a_pipe_that_is_full_at(full, events, FeedFilter()))
    for kind in (TagType.AUDIO, TagType.VIDEO):
        stamps = [tag.timestamp for tag in written if tag.type is kind]
        assert all((after - before) % 2**32 < 2**31 for before, after in pairwise(stamps))


@pytest.mark.parametrize("wrapping", list(wrappings(CODED_FRAMES)))
def test_a_child_gets_the_main_track_alone_whatever_the_others_are_wrapped_in(wrapping: Wrapping) -> None:
    feed = FeedFilter()
    feed.begin()
    start = generate_stream(seconds=1)
    fed(feed, start)
    is_main = any(track.number == 0 for track in wrapping.tracks)
    header = evolve(wrapping, packet_type=SEQUENCE_START).packet(timestamp=1000)
    got = [tag.data for tag in tags(flv_header(audio=True, video=True) + fed(feed, [header, wrapping.packet(1000)]))]
    assert got == ([header.data, wrapping.data] if is_main else [])
