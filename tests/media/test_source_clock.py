"""Whatever a source says of time, behind the border no track goes back or leaps, and tracks stay together."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.events import MediaKind, MediaPacket, StreamId
from mmids_trio.media.source_clock import JUMP_MS, SourceClock
from mmids_trio.media.timeline import MODULUS, is_after

VIDEO, AUDIO, OTHER = MediaKind.VIDEO, MediaKind.AUDIO, MediaKind.OTHER

Times = list[tuple[MediaKind, int]]


def frame(kind: MediaKind, timestamp: int, *, header: bool = False) -> MediaPacket:
    return MediaPacket(StreamId("s"), kind, timestamp % MODULUS, b"x", is_sequence_header=header)


def placed(clock: SourceClock, times: Iterable[tuple[MediaKind, int]]) -> Times:
    return [(kind, clock.place(frame(kind, timestamp)).timestamp) for kind, timestamp in times]


def show(start: int, stop: int, *, audio_lag_ms: int = 0) -> Times:
    """25 frames a second and 50 of sound, in the order in which they come: sound so much later than its picture."""
    video = [(time, 0, VIDEO, time) for time in range(start, stop, 40)]
    audio = [(time + audio_lag_ms, 1, AUDIO, time) for time in range(start, stop, 20)]
    return [(kind, time) for _, _, kind, time in sorted(video + audio, key=lambda entry: entry[:2])]


def test_a_source_with_a_clock_that_goes_on_keeps_its_timestamps_and_packets() -> None:
    clock = SourceClock()
    for kind, time in show(90_000, 95_000, audio_lag_ms=60):
        packet = frame(kind, time)
        assert clock.place(packet) is packet
    assert clock.clocks_set == 0


@pytest.mark.parametrize("audio_lag_ms", [0, 60, 500, -60])
@pytest.mark.parametrize("at", [2**24, 2**31, 2**32, 3_600_000])
def test_a_clock_that_wraps_or_restarts_goes_on_within_a_frame_for_each_track(at: int, audio_lag_ms: int) -> None:
    clock = SourceClock()
    real = show(at - 2_000, at + 2_000, audio_lag_ms=audio_lag_ms)
    found = placed(clock, [(kind, time % at) for kind, time in real])
    assert found == [(kind, time % MODULUS) for kind, time in real]
    assert clock.clocks_set == (0 if at == 2**32 else 1)


@pytest.mark.parametrize("audio_lag_ms", [0, 60, -60])
@pytest.mark.parametrize("leap", [3_600_000, JUMP_MS + 1_000, -40_000])
def test_a_clock_that_is_set_goes_on_within_a_frame_for_each_track(leap: int, audio_lag_ms: int) -> None:
    real = show(50_000, 54_000, audio_lag_ms=audio_lag_ms)
    said = [(kind, time if time < 52_000 else time + leap) for kind, time in real]
    assert placed(SourceClock(), said) == real


@pytest.mark.parametrize("first", [VIDEO, AUDIO])
@pytest.mark.parametrize("second", [VIDEO, AUDIO])
def test_a_first_packet_at_0_before_the_encoders_uptime_leaves_no_gap(first: MediaKind, second: MediaKind) -> None:
    clock = SourceClock()
    rest = show(7_200_000, 7_201_000)
    times = placed(clock, [(first, 0), (second, 7_200_000), *rest])
    assert max(time for _, time in times) <= 1_000
    for kind in (VIDEO, AUDIO):
        track = [time for of, time in times if of is kind]
        assert all(0 <= later - earlier <= 40 for earlier, later in pairwise(track))


def test_a_gap_that_a_source_leaves_is_a_gap() -> None:
    times: Times = [(VIDEO, 0), (VIDEO, 40), (VIDEO, 5_040), (AUDIO, 5_050), (VIDEO, 5_080 + JUMP_MS)]
    clock = SourceClock()
    assert placed(clock, times[:4]) == times[:4]
    assert clock.clocks_set == 0


def test_a_track_that_was_silent_comes_back_where_the_other_one_is() -> None:
    times: Times = [(VIDEO, time) for time in range(0, 60_000, 40)]
    clock = SourceClock()
    assert placed(clock, [(AUDIO, 0), *times, (AUDIO, 60_000)]) == [(AUDIO, 0), *times, (AUDIO, 60_000)]
    assert clock.clocks_set == 0


def test_a_silent_track_of_another_clock_comes_back_where_the_other_one_is() -> None:
    clock = SourceClock()
    placed(clock, [(AUDIO, 0), *((VIDEO, time) for time in range(0, 60_000, 40))])
    assert placed(clock, [(AUDIO, 5_000_000), (AUDIO, 5_000_020)]) == [(AUDIO, 59_960), (AUDIO, 59_980)]


def test_tracks_with_clocks_of_their_own_go_side_by_side() -> None:
    clock = SourceClock()
    times = [time for step in range(100) for time in ((VIDEO, 40 * step), (AUDIO, 9_000_000 + 40 * step))]
    assert placed(clock, times) == [(kind, time % 9_000_000) for kind, time in times]
    assert clock.clocks_set == 1


def test_a_little_disorder_is_levelled() -> None:
    times: Times = [(VIDEO, 100), (VIDEO, 140), (VIDEO, 120), (VIDEO, 180)]
    assert [time for _, time in placed(SourceClock(), times)] == [100, 140, 140, 180]


def test_sequence_headers_and_data_move_no_clock() -> None:
    clock = SourceClock()
    assert clock.place(frame(VIDEO, 7, header=True)).timestamp == 7
    placed(clock, [(VIDEO, 80_000)])
    for timestamp in (0, 2**31, 80_000):
        assert clock.place(frame(VIDEO, timestamp, header=True)).timestamp == 80_000
        assert clock.place(frame(AUDIO, timestamp, header=True)).timestamp == 80_000
        assert clock.place(frame(OTHER, timestamp)).timestamp == 80_000
    assert placed(clock, [(VIDEO, 80_040), (AUDIO, 80_050)]) == [(VIDEO, 80_040), (AUDIO, 80_050)]
    assert clock.clocks_set == 0


KINDS = st.sampled_from([VIDEO, AUDIO, OTHER])
STEPS = st.one_of(st.integers(-100, 100), st.integers(-(2**32), 2**32))


@given(st.lists(st.tuples(KINDS, STEPS, st.booleans()), max_size=60))
def test_no_track_goes_back_or_leaps_whatever_a_source_says(said: list[tuple[MediaKind, int, bool]]) -> None:
    clock, time, newest = SourceClock(), 0, None
    last: dict[MediaKind, int] = {}
    for kind, step, is_header in said:
        time += step
        found = clock.place(frame(kind, time, header=is_header and kind is not OTHER)).timestamp
        assert 0 <= found < MODULUS
        if is_header or kind is OTHER:
            continue
        assert kind not in last or not is_after(last[kind], found)
        assert newest is None or not is_after(found, (newest + JUMP_MS) % MODULUS)
        last[kind] = found
        newest = found if newest is None or is_after(found, newest) else newest
