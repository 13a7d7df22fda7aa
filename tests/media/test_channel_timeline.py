"""Timestamps over successive streams of a channel."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.timeline import ChannelTimeline, is_after

AUDIO, VIDEO = MediaKind.AUDIO, MediaKind.VIDEO


def frame(timestamp: int, kind: MediaKind = VIDEO, *, header: bool = False) -> MediaPacket:
    return MediaPacket(StreamId("s"), kind, timestamp % 2**32, b"x", is_sequence_header=header)


def placed(timeline: ChannelTimeline, *timestamps: int, kind: MediaKind = VIDEO) -> list[int]:
    return [timeline.place(frame(timestamp, kind)) for timestamp in timestamps]


def test_the_first_stream_keeps_its_timestamps() -> None:
    timeline = ChannelTimeline()
    timeline.begin_stream()
    assert placed(timeline, 90_000, 90_040) == [90_000, 90_040]


def test_a_stream_that_starts_higher_keeps_its_timestamps() -> None:
    timeline = ChannelTimeline()
    placed(timeline, 1_000)
    timeline.begin_stream()
    assert placed(timeline, 5_000, 5_040) == [5_000, 5_040]


def test_a_stream_that_starts_lower_is_shifted_as_a_whole() -> None:
    timeline = ChannelTimeline()
    placed(timeline, 70_000)
    placed(timeline, 70_010, kind=AUDIO)
    timeline.begin_stream()
    assert placed(timeline, 0) == [70_011]
    assert placed(timeline, 5, 28, kind=AUDIO) == [70_016, 70_039]
    assert placed(timeline, 40) == [70_051]


def test_the_third_stream_is_not_shifted_by_what_the_second_needed() -> None:
    timeline = ChannelTimeline()
    placed(timeline, 70_000)
    timeline.begin_stream()
    placed(timeline, 0)
    timeline.begin_stream()
    assert placed(timeline, 100_000) == [100_000]


def test_a_sequence_header_of_any_timestamp_moves_no_clock() -> None:
    timeline = ChannelTimeline()
    placed(timeline, 70_000)
    timeline.begin_stream()
    assert timeline.place(frame(0, header=True)) == 70_000
    assert placed(timeline, 80_000) == [80_000]
    assert timeline.place(frame(0, header=True)) == 80_000


def test_a_repeated_header_bears_the_time_of_the_last_frame_of_its_kind() -> None:
    timeline = ChannelTimeline()
    assert timeline.now(frame(3, header=True)) == 3
    placed(timeline, 500)
    placed(timeline, 600, kind=AUDIO)
    assert timeline.now(frame(3, header=True)) == 500
    assert timeline.newest == 600


def test_a_little_disorder_within_a_stream_is_levelled() -> None:
    assert placed(ChannelTimeline(), 100, 140, 120, 180) == [100, 140, 140, 180]


def test_a_clock_that_restarts_within_a_stream_goes_on_from_the_latest() -> None:
    assert placed(ChannelTimeline(), 50_000, 50_040, 0, 40) == [50_000, 50_040, 50_041, 50_081]


def test_timestamps_wrap() -> None:
    timeline = ChannelTimeline()
    assert placed(timeline, 2**32 - 20, 20) == [2**32 - 20, 20]
    timeline.begin_stream()
    assert placed(timeline, 2**32 - 20) == [21]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([AUDIO, VIDEO]), st.integers(0, 2**32 - 1), st.booleans()), max_size=20),
        max_size=5,
    )
)
def test_nothing_ever_goes_backwards_within_a_kind(streams: list[list[tuple[MediaKind, int, bool]]]) -> None:
    timeline = ChannelTimeline()
    last: dict[MediaKind, int] = {}
    for stream in streams:
        timeline.begin_stream()
        for kind, timestamp, header in stream:
            result = timeline.place(frame(timestamp, kind, header=header))
            assert 0 <= result < 2**32
            assert kind not in last or not is_after(last[kind], result)
            if not header:
                last[kind] = result
