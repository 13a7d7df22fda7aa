"""What a log keeps, and where a watcher may begin in it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.fanout.stream_log import (
    ENTRY_OVERHEAD,
    MAX_GROUP_MS,
    MAX_LOG_BYTES,
    MAX_LOG_MS,
    HeaderSet,
    LogEntry,
    StampedHeaders,
    StreamLog,
)
from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from tests.support.calls import calls


def audio(timestamp: int, size: int = 10) -> LogEntry:
    return LogEntry(bytes(size), MediaKind.AUDIO, timestamp)


def key_frame(timestamp: int, shared: HeaderSet | None = None) -> LogEntry:
    stamped = None if shared is None else StampedHeaders(shared, timestamp, ())
    return LogEntry(b"key", MediaKind.VIDEO, timestamp, True, stamped)


def a_set(size: int) -> HeaderSet:
    return HeaderSet(bytes(size), (), lambda packet, timestamp: packet.data)


PREFACES = [a_set(size) for size in (0, 100, 2_000)]


def key_frame_of(place: int) -> Callable[[int], LogEntry]:
    return lambda timestamp: key_frame(timestamp, PREFACES[place])


def held(entries: list[LogEntry]) -> int:
    """What entries cost with their prefaces, added up the slow way."""
    stamped = [entry.headers for entry in entries if entry.headers is not None]
    prefaces = {shared.shared for shared in stamped}
    overhead = ENTRY_OVERHEAD * (len(entries) + len(stamped))
    return overhead + sum(len(entry.data) for entry in entries) + sum(shared.size for shared in prefaces)


def inter_frame(timestamp: int) -> LogEntry:
    return LogEntry(b"inter", MediaKind.VIDEO, timestamp)


def a_log(*entries: LogEntry, has_video: bool = True, max_bytes: int = MAX_LOG_BYTES) -> StreamLog:
    log = StreamLog(max_bytes=max_bytes)
    log.begin_stream()
    log.has_video = has_video
    for entry in entries:
        log.append(entry)
    return log


def test_indices_grow_and_are_never_used_twice() -> None:
    log = a_log(key_frame(0), inter_frame(40), key_frame(80))
    log.release(log.end_index)
    log.append(inter_frame(120))
    assert (log.first_index, log.end_index) == (2, 4)
    assert log.entry(3).timestamp == 120


def test_a_late_joiner_begins_at_the_latest_key_frame() -> None:
    assert a_log(key_frame(0), inter_frame(40), key_frame(80), inter_frame(120)).join_position() == 2


def test_a_late_joiner_waits_where_there_is_video_but_no_key_frame() -> None:
    assert a_log(audio(0), inter_frame(40)).join_position() is None


def test_a_late_joiner_of_an_audio_stream_begins_with_the_newest_entry() -> None:
    assert a_log(audio(0), audio(23), audio(46), has_video=False).join_position() == 2


def test_a_late_joiner_never_begins_in_an_earlier_stream() -> None:
    log = a_log(key_frame(0), inter_frame(40))
    log.end_stream()
    log.begin_stream()
    log.append(audio(50))
    log.has_video = True
    assert log.join_position() is None
    assert log.next_key_frame_at_or_after(0) == 0


@pytest.mark.parametrize(("index", "found"), [(0, 1), (1, 1), (2, 3), (3, 3), (4, None)])
def test_the_next_key_frame(index: int, found: int | None) -> None:
    log = a_log(audio(0), key_frame(1), inter_frame(2), key_frame(3), inter_frame(4))
    assert log.next_key_frame_at_or_after(index) == found


def test_the_current_group_of_pictures_is_never_released() -> None:
    log = a_log(key_frame(0), inter_frame(40), key_frame(80), inter_frame(120))
    log.release(log.end_index)
    assert log.first_index == 2


def test_nothing_that_a_watcher_needs_is_released() -> None:
    log = a_log(key_frame(0), inter_frame(40), key_frame(80), inter_frame(120))
    log.release(1)
    assert log.first_index == 1


def test_an_ended_stream_is_released_altogether() -> None:
    log = a_log(key_frame(0), inter_frame(40))
    log.end_stream()
    log.release(log.end_index)
    assert (log.first_index, log.end_index, log.size) == (2, 2, 0)


def a_group(log: StreamLog, *, ms: int, size: int = 10) -> StreamLog:
    log.begin_stream()
    log.has_video = True
    for entry in (audio(0), key_frame(40), *(LogEntry(bytes(size), MediaKind.VIDEO, t) for t in range(80, ms, 40))):
        log.append(entry)
    return log


def test_the_current_group_of_pictures_is_kept_whole_beyond_the_age_of_the_rest() -> None:
    log = a_group(StreamLog(), ms=MAX_GROUP_MS)
    assert log.join_position() == log.first_index == 1
    log.append(key_frame(MAX_GROUP_MS))
    assert log.entry(log.first_index).timestamp == MAX_GROUP_MS - MAX_LOG_MS


def test_a_group_of_pictures_is_measured_without_what_came_before_it() -> None:
    log = a_group(StreamLog(max_group_bytes=400 * (1000 + ENTRY_OVERHEAD)), ms=15_000, size=1000)
    begin = log.end_index
    for timestamp in range(15_000, 30_000, 40):  # as large as the one before, which is within the bounds
        log.append(key_frame(timestamp) if timestamp == 15_000 else LogEntry(bytes(1000), MediaKind.VIDEO, timestamp))
    assert log.join_position() == log.first_index == begin


@pytest.mark.parametrize(
    "log",
    [
        a_group(StreamLog(), ms=MAX_GROUP_MS + 1_000),
        a_group(StreamLog(max_group_bytes=400 * (1000 + ENTRY_OVERHEAD)), ms=20_000, size=1000),
        a_group(StreamLog(max_group_ms=0), ms=20_000),
    ],
    ids=["too long", "too large", "of no use"],
)
def test_a_group_of_pictures_beyond_its_own_bounds_is_as_old_as_it_is(log: StreamLog) -> None:
    newest = log.entry(log.end_index - 1).timestamp
    assert log.entry(log.first_index).timestamp == newest - MAX_LOG_MS
    assert log.join_position() is None
    assert log.next_key_frame_at_or_after(0) is None


def test_a_leap_of_the_timestamps_pushes_nothing_out_that_came_just_before() -> None:
    before = [audio(time) for time in range(0, 1_000, 20)]
    for leap in (11_000, 3_600_000, 2**30):
        log = a_log(*before, *(audio(leap + time) for time in range(0, 1_000, 20)), has_video=False)
        assert log.first_index == 0


def test_age_is_measured_across_the_wrap_of_timestamps() -> None:
    start = 2**32 - 5_000
    log = a_log(*(audio((start + t) % 2**32) for t in range(0, 20_001, 100)))
    assert log.entry(log.first_index).timestamp == 5_000


def test_the_gap_between_two_streams_counts_for_nothing() -> None:
    log = a_log(audio(0), audio(20))
    log.end_stream()
    log.begin_stream()
    for time in range(5_000_000, 5_010_001, 1_000):
        log.append(audio(time))
    assert log.first_index == 0
    log.append(audio(5_010_001))
    assert log.first_index == 3


def test_timestamps_that_go_back_harm_nothing() -> None:
    log = a_log(audio(50_000), audio(0), audio(100))
    assert log.first_index == 0


def test_bytes_are_limited_whatever_the_timestamps_say() -> None:
    log = a_log(*(audio(0, 1_000) for _ in range(50)), max_bytes=20_000)
    assert log.size <= 20_000
    assert log.end_index - log.first_index == 20_000 // (1_000 + ENTRY_OVERHEAD)


def test_a_preface_that_key_frames_share_counts_once() -> None:
    log = a_log(*(key_frame(0, PREFACES[2]) for _ in range(5)))
    assert log.size == 2_000 + 5 * (len(b"key") + 2 * ENTRY_OVERHEAD)
    log.release(4)
    assert log.size == 2_000 + len(b"key") + 2 * ENTRY_OVERHEAD


def test_prefaces_that_change_with_every_key_frame_push_out_the_oldest() -> None:
    log = a_log(*(key_frame(0, a_set(2_000)) for _ in range(50)), max_bytes=20_000)
    assert log.size <= 20_000
    assert log.end_index - log.first_index == 20_000 // (2_000 + len(b"key") + 2 * ENTRY_OVERHEAD)


def test_a_preface_counts_its_metadata_and_its_headers() -> None:
    header = MediaPacket(StreamId("s"), MediaKind.VIDEO, 0, bytes(30), is_sequence_header=True)
    assert HeaderSet(bytes(100), (header, header), lambda packet, timestamp: packet.data).size == 160


def test_a_stamped_preface_renders_each_header_at_its_own_timestamp() -> None:
    headers = tuple(
        MediaPacket(StreamId("s"), kind, 0, kind.value.encode()) for kind in (MediaKind.VIDEO, MediaKind.AUDIO)
    )
    shared = HeaderSet(b"metadata", headers, lambda packet, timestamp: packet.data + b"@%d" % timestamp)
    entries = StampedHeaders(shared, 90, (80, 70)).entries()
    assert [(entry.data, entry.kind, entry.timestamp) for entry in entries] == [
        (b"metadata", MediaKind.OTHER, 90),
        (b"video@80", MediaKind.VIDEO, 80),
        (b"audio@70", MediaKind.AUDIO, 70),
    ]


def test_an_entry_above_the_limit_is_kept_until_the_next() -> None:
    log = a_log(audio(0), audio(1, 5_000), max_bytes=2_000)
    assert (log.first_index, log.end_index) == (1, 2)
    log.append(audio(2))
    assert (log.first_index, log.end_index) == (2, 3)


def test_gathering_joins_up_to_the_limit() -> None:
    log = a_log(*(LogEntry(bytes([n]) * 10, MediaKind.AUDIO, n) for n in range(5)))
    assert log.gather(1, 30) == (b"\1" * 10 + b"\2" * 10 + b"\3" * 10, 4)
    assert log.gather(1, 29) == (b"\1" * 10 + b"\2" * 10, 3)
    assert log.gather(3, 1_000) == (b"\3" * 10 + b"\4" * 10, 5)


def test_a_single_entry_is_gathered_without_a_copy() -> None:
    entry = audio(0, 1_000)
    assert a_log(entry).gather(0, 10)[0] is entry.data


actions = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([audio, inter_frame, key_frame, *map(key_frame_of, range(3))]), st.integers(-500, 3_000)
        ),
        st.integers(0, 60),
        st.sampled_from(["begin", "end"]),
    )
)


@given(actions)
def test_limits_and_sizes_hold_whatever_happens(
    actions: list[tuple[Callable[[int], LogEntry], int] | int | str],
) -> None:
    log = StreamLog(max_bytes=10_000, max_ms=5_000)
    log.begin_stream()
    appended: list[LogEntry] = []
    timestamp = 2**32 - 10_000
    for action in actions:
        if isinstance(action, tuple):
            timestamp = (timestamp + action[1]) % 2**32
            appended.append(action[0](timestamp))
            log.append(appended[-1])
        elif isinstance(action, int):
            log.release(action)
        elif action == "begin":
            log.begin_stream()
        else:
            log.end_stream()
        kept = [log.entry(index) for index in range(log.first_index, log.end_index)]
        assert kept == appended[log.first_index :]
        assert log.size == held(kept) <= 10_000
        key_frames = [index for index, entry in enumerate(kept, log.first_index) if entry.is_key_frame]
        assert log.next_key_frame_at_or_after(0) == (key_frames[0] if key_frames else None)
        latest = log.latest_key_frame
        assert latest is None or log.first_index <= latest < log.end_index


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60), st.integers(0, 70))
def test_how_far_a_place_is_behind_is_the_sum_of_what_follows(sizes: list[int], place: int) -> None:
    log = StreamLog(max_ms=500, max_bytes=60_000)
    log.begin_stream()
    for number, size in enumerate(sizes):
        log.append(audio(20 * number, size))
    held = [log.entry(index) for index in range(max(place, log.first_index), log.end_index)]
    _, behind = log.behind(place)
    assert behind == sum(len(entry.data) for entry in held)


def test_how_far_a_place_is_behind_takes_as_long_however_far_it_is() -> None:
    log = StreamLog()
    log.begin_stream()
    for number in range(4_000):
        log.append(audio(number))
    assert calls(lambda: log.behind(10)).total() == calls(lambda: log.behind(3_990)).total()
