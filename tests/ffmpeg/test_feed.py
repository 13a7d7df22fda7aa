"""A child's feed begins where it can be decoded, on a clock of its own, and loses whole groups of pictures at most."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.ffmpeg.feed import MAX_HELD_BYTES, TRACK_PATIENCE_MS, VIDEO_PATIENCE_MS, FeedFilter
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


ANNOUNCED_VIDEO = StreamMetadata(STREAM, {"width": 640.0, "videocodecid": 7.0})


def test_sound_that_was_announced_and_comes_within_a_second_is_in_from_the_start() -> None:
    """R4: only what comes is told to a child."""
    video = generate_stream(seconds=1, audio=False)
    audio = generate_stream(seconds=1, video=False)
    feed = FeedFilter()
    data = fed(feed, [METADATA, *video[:20], *audio, *video[20:]])
    assert data.startswith(flv_header(audio=True, video=True))
    assert not report([*video, *audio], data).missed
    assert not feed.is_outdated


@pytest.mark.parametrize("sign", [METADATA, generate_stream(seconds=1)[1]], ids=["metadata", "header"])
@pytest.mark.parametrize("gop", [10, 1_000])
def test_sound_that_never_comes_is_left_out_after_a_second_or_a_key_frame(sign: MediaEvent, gop: int) -> None:
    video = generate_stream(seconds=3, audio=False, gop=gop)
    feed = FeedFilter()
    assert (
        fed(feed, [sign, *(packet for packet in video if packet.timestamp < min(gop * 40, TRACK_PATIENCE_MS))]) == b""
    )
    data = fed(feed, [packet for packet in video if packet.timestamp >= min(gop * 40, TRACK_PATIENCE_MS)])
    assert data.startswith(flv_header(audio=False, video=True))
    assert not report(video, data).missed
    metadata = [event.values for event in events_from_tags(STREAM, tags(data)) if isinstance(event, StreamMetadata)]
    assert all("audiocodecid" not in values for values in metadata)


def test_sound_that_comes_later_joins_in_another_child() -> None:
    video, audio = (
        generate_stream(seconds=4, audio=False),
        generate_stream(seconds=4, video=False, start_timestamp=2_000),
    )
    feed = FeedFilter()
    fed(feed, [METADATA, *video[:60]])
    joined = sorted([*video[60:], *audio[1:]], key=lambda packet: packet.timestamp)
    fed(feed, [audio[0], *joined[: joined.index(next(packet for packet in joined if packet.is_key_frame))]])
    assert not feed.is_outdated
    [key_frame] = [packet for packet in joined if packet.is_key_frame][:1]
    assert feed.render(key_frame) == b""
    assert feed.is_outdated
    feed.begin()
    rest = joined[joined.index(key_frame) :]
    data = fed(feed, rest)
    assert data.startswith(flv_header(audio=True, video=True))
    assert not report([video[0], audio[0], *rest], data).missed


def test_what_is_held_when_the_stream_ends_is_not_lost() -> None:
    video = generate_stream(seconds=0.5, audio=False)
    feed = FeedFilter()
    assert fed(feed, [METADATA, *video]) == b""
    assert not report(video, feed.finish()).missed
    assert feed.finish() == b""


def test_no_more_is_held_than_the_limit() -> None:
    frames = [
        evolve(packet, timestamp=0)
        for packet in generate_stream(seconds=4, audio=False, gop=1_000, key_frame_bytes=100_000)
    ]
    large = [evolve(packet, data=packet.data + bytes(100_000)) for packet in frames[1:]]
    feed = FeedFilter()
    events: list[MediaEvent] = [frames[0], METADATA, *large]
    sizes = [len(feed.render(event)) for event in events]
    assert next(place for place, size in enumerate(sizes) if size) <= MAX_HELD_BYTES / 100_000 + 3


EMPTY_HEADER = evolve(generate_stream(seconds=1)[0], data=b"\x90av01", codec="av01")
"""What ffmpeg sends first of AV1 from libaom."""


@pytest.mark.parametrize(
    "sign", [METADATA, generate_stream(seconds=1)[0], EMPTY_HEADER], ids=["metadata", "header", "empty header"]
)
def test_video_that_never_comes_is_waited_for_for_a_second(sign: MediaEvent) -> None:
    audio = generate_stream(seconds=12, video=False)
    feed = FeedFilter()
    data = fed(feed, [sign, *audio])
    assert data.startswith(flv_header(audio=True, video=False))
    assert feed.base is not None
    assert TRACK_PATIENCE_MS < feed.base < TRACK_PATIENCE_MS + 50
    assert not feed.is_outdated
    fed(feed, generate_stream(seconds=1, audio=False, start_timestamp=12_000)[:2])
    assert feed.is_outdated


@pytest.mark.parametrize("comes_at", [3_000, 9_000])
def test_frames_without_their_header_are_waited_for(comes_at: int) -> None:
    """R13: no child is started that cannot decode what it gets."""
    sent = generate_stream(seconds=12)
    headers, frames = sent[:2], sent[2:]
    feed = FeedFilter()
    assert fed(feed, [packet for packet in frames if packet.timestamp < comes_at]) == b""
    data = fed(feed, [*headers, *(packet for packet in frames if packet.timestamp >= comes_at)])
    assert report(sent, data).is_flawless_from_join
    assert feed.base is not None
    assert comes_at <= feed.base <= comes_at + GOP_MS


def test_pictures_without_their_header_are_given_up_after_ten_seconds_and_join_later() -> None:
    sent = generate_stream(seconds=20)
    video_header, audio_header, *frames = sent
    feed = FeedFilter()
    data = fed(feed, [audio_header, *(packet for packet in frames if packet.timestamp < 15_000)])
    assert data.startswith(flv_header(audio=True, video=False))
    assert feed.base is not None
    assert VIDEO_PATIENCE_MS < feed.base < VIDEO_PATIENCE_MS + 50
    late = [packet for packet in frames if packet.timestamp >= 15_000]
    fed(feed, [video_header, *late[:1]])
    assert feed.is_outdated
    feed.begin()
    assert report(sent, fed(feed, late)).is_flawless_from_join


def test_video_without_a_key_frame_is_waited_for_as_long_as_it_comes() -> None:
    sent = generate_stream(seconds=15, gop=1_000)
    assert fed(FeedFilter(), [packet for packet in sent if not packet.is_key_frame]) == b""


def test_a_track_that_appears_later_is_left_out_and_makes_the_feed_outdated_with_its_key_frame() -> None:
    audio = generate_stream(seconds=1, video=False)
    video = generate_stream(seconds=1, audio=False)
    feed = FeedFilter()
    data = fed(feed, [*audio[:5], *video[:1], *video[2:], *audio[5:]])
    assert {kind for kind, _ in summary(data)} == {TagType.AUDIO}
    assert not report(audio, data).missed
    assert not feed.is_outdated
    fed(feed, video[:2])
    assert feed.is_outdated
    feed.begin()
    assert not feed.is_outdated
    data = fed(feed, [*video[1:], *audio[1:]])
    assert data.startswith(flv_header(audio=True, video=True))
    assert tags(data)[0].data == VIDEO_HEADER


OTHER_PICTURES = generate_stream(seconds=1)[0]
OTHER_PICTURES = evolve(OTHER_PICTURES, data=OTHER_PICTURES.data.replace(b"\x67\x42\xc0\x1f", b"\x67\x42\xc0\x20"))
OTHER_SOUND = evolve(generate_stream(seconds=1)[1], data=b"\xaf\x00\x11\x90")
CHANGES = [OTHER_PICTURES, OTHER_SOUND, evolve(OTHER_PICTURES, codec="hvc1"), evolve(OTHER_SOUND, codec="Opus")]


@pytest.mark.parametrize("change", CHANGES, ids=["size", "rate", "video codec", "audio codec"])
def test_another_configuration_is_for_another_child_from_the_next_key_frame_on(change: MediaPacket) -> None:
    sent = [
        evolve(packet, codec=change.codec) if packet.kind is change.kind and packet.timestamp >= 1_400 else packet
        for packet in generate_stream(seconds=4)
    ]
    before = [packet for packet in sent if packet.timestamp < 1_400]
    until = [packet for packet in sent if 1_400 <= packet.timestamp < 2_000]
    after = [packet for packet in sent if packet.timestamp >= 2_000]
    feed = FeedFilter()
    data = fed(feed, [*before, evolve(change, timestamp=1_400), *until])
    assert change.data not in [tag.data for tag in tags(data)]
    assert {tag.data for tag in tags(data) if tag.timestamp >= 1_400} == {
        packet.data for packet in until if packet.kind is not change.kind
    }
    assert not feed.is_outdated
    assert feed.render(after[0]) == b""
    assert feed.is_outdated
    feed.begin()
    second = fed(feed, after)
    assert change.data in [tag.data for tag in tags(second)[:2]]
    assert not feed.is_outdated
    assert not report(after, second).missed


def test_a_header_that_says_the_same_again_changes_nothing() -> None:
    sent = generate_stream(seconds=3)
    again = evolve(sent[0], timestamp=1_000)
    feed = FeedFilter()
    data = fed(feed, [*sent[:60], again, sent[1], *sent[60:]])
    assert not feed.is_outdated
    assert not report(sent, data).missed


def test_a_change_that_is_taken_back_changes_nothing() -> None:
    sent = generate_stream(seconds=3)
    feed = FeedFilter()
    fed(feed, [*sent[:60], OTHER_PICTURES, sent[0], *sent[60:]])
    assert not feed.is_outdated


def test_a_child_that_takes_configurations_is_given_them_but_not_another_codec() -> None:
    sent = generate_stream(seconds=3)
    feed = FeedFilter(takes_configurations=True)
    data = fed(feed, [*sent[:60], OTHER_PICTURES, OTHER_SOUND, *sent[60:]])
    assert {OTHER_PICTURES.data, OTHER_SOUND.data} <= {tag.data for tag in tags(data)}
    assert not report(sent, data).missed
    fed(feed, [evolve(OTHER_PICTURES, codec="hvc1"), evolve(sent[2], codec="hvc1")])
    assert feed.is_outdated


def test_a_header_of_a_codec_that_is_not_used_any_more_is_not_for_the_next_child() -> None:
    sent = generate_stream(seconds=3)
    mp3 = [evolve(each, codec=".mp3") if each.kind is MediaKind.AUDIO else each for each in sent[100:]]
    feed = FeedFilter()
    fed(feed, sent[:100])
    feed.begin()
    data = fed(feed, mp3)
    assert VIDEO_HEADER in [tag.data for tag in tags(data)]
    assert AUDIO_HEADER not in [tag.data for tag in tags(data)]
    assert TagType.AUDIO in {kind for kind, _ in summary(data)}


def test_held_pictures_of_a_configuration_that_has_changed_are_dropped() -> None:
    sent = generate_stream(seconds=2, audio=False)
    feed = FeedFilter()
    assert fed(feed, [METADATA, *sent[:10], OTHER_PICTURES]) == b""
    data = fed(feed, sent[10:]) + feed.finish()
    assert tags(data)[1].data == OTHER_PICTURES.data
    assert report([OTHER_PICTURES, *sent[1:]], data).is_flawless_from_join
    assert feed.base == GOP_MS


def test_a_child_is_told_the_size_that_the_pictures_have() -> None:
    header, *frames = generate_stream(seconds=1)
    wide = "0164001effe1001a6764001eacd940d87bcde022000003000200000300643e28532c01000668fba3cb22c0fdf8f800"
    changed = evolve(header, data=b"\x17\0\0\0\0" + bytes.fromhex(wide))
    data = fed(FeedFilter(), [METADATA, changed, *frames])
    [metadata] = [event for event in events_from_tags(STREAM, tags(data)) if isinstance(event, StreamMetadata)]
    assert (metadata.values["width"], metadata.values["height"]) == (854.0, 480.0)


def test_the_next_child_gets_the_latest_headers_and_metadata() -> None:
    sent = generate_stream(seconds=3)
    new_metadata = StreamMetadata(STREAM, {"framerate": 50.0})
    feed = FeedFilter()
    fed(feed, [METADATA, *sent[:40], new_metadata, OTHER_PICTURES])
    feed.begin()
    first = tags(fed(feed, sent[40:]))
    assert events_from_tags(STREAM, first[:1]) == [new_metadata]
    assert first[1].data == OTHER_PICTURES.data


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
    changed = evolve(OTHER_PICTURES, timestamp=sent[40].timestamp)
    feed = FeedFilter(takes_configurations=True)
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
    is_main = any(track.number == 0 for track in wrapping.tracks)
    header = evolve(wrapping, packet_type=SEQUENCE_START).packet(timestamp=1000)
    got = [tag.data for tag in tags(fed(feed, [header, wrapping.packet(1000)]) + feed.finish())]
    assert got == ([header.data, wrapping.data] if is_main else [])
