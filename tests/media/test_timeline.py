"""Timestamps that wrap."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.media.timeline import MODULUS, is_after, latest, shifted

TIMESTAMPS = st.integers(0, MODULUS - 1)
STEPS = st.integers(1, MODULUS // 2 - 1)


@given(TIMESTAMPS, STEPS)
def test_a_timestamp_comes_after_one_less_than_24_days_before_it(timestamp: int, step: int) -> None:
    later = shifted(timestamp, step)
    assert is_after(later, timestamp)
    assert not is_after(timestamp, later)
    assert latest(timestamp, later) == latest(later, timestamp) == later


@given(TIMESTAMPS)
def test_nothing_comes_after_itself_or_half_the_circle_away(timestamp: int) -> None:
    assert not is_after(timestamp, timestamp)
    assert not is_after(shifted(timestamp, MODULUS // 2), timestamp)
    assert latest(timestamp, timestamp) == timestamp


@given(TIMESTAMPS, st.integers(-MODULUS, MODULUS))
def test_a_shift_stays_in_range_and_can_be_taken_back(timestamp: int, by: int) -> None:
    assert 0 <= shifted(timestamp, by) < MODULUS
    assert shifted(shifted(timestamp, by), -by) == timestamp


def test_the_wrap_itself() -> None:
    assert shifted(MODULUS - 1, 1) == 0
    assert is_after(0, MODULUS - 1)
    assert latest(5, MODULUS - 5) == 5
