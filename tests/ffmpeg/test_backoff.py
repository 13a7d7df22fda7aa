"""The delays before restarts, without a clock."""

import pytest

from mmids_trio.backoff import FIRST_DELAY_SECONDS, JITTER, LONGEST_DELAY_SECONDS, Backoff


def test_delays_double_from_half_a_second_to_thirty() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.next_delay() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5, 1.0])
def test_chance_takes_a_bounded_part_away(chance: float) -> None:
    backoff = Backoff(lambda: chance)
    assert backoff.next_delay() == FIRST_DELAY_SECONDS * (1 - JITTER * chance)


def test_no_delay_is_ever_shorter_than_the_jitter_allows() -> None:
    backoff = Backoff(lambda: 1.0)
    assert min(backoff.next_delay() for _ in range(2000)) == pytest.approx(FIRST_DELAY_SECONDS * (1 - JITTER))


def test_the_longest_delay_stays_the_longest_for_ever() -> None:
    backoff = Backoff(lambda: 0.0)
    assert max(backoff.next_delay() for _ in range(5000)) == LONGEST_DELAY_SECONDS


def test_after_a_reset_the_first_delay_comes_again() -> None:
    backoff = Backoff(lambda: 0.0)
    for _ in range(5):
        backoff.next_delay()
    backoff.reset()
    assert [backoff.next_delay(), backoff.next_delay()] == [0.5, 1]
