"""An bucket refills with time, and never lets through more than it says."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.net.limits import TokenBucket


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    bucket = TokenBucket(burst=10, rate=2, since=100)
    assert bucket.spend(10, 100)
    assert not bucket.spend(1, 100)
    assert bucket.spend(1, 101)
    assert not bucket.spend(11, 1_000)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 10)), max_size=50))
def test_what_was_allowed_is_never_more_than_burst_and_rate(steps: list[tuple[int, int]]) -> None:
    bucket, now, spent = TokenBucket(burst=10, rate=2, since=0), 0, 0
    for amount, pause in steps:
        now += pause
        if not bucket.spend(amount, now):
            break
        spent += amount
    assert spent <= 10 + 2 * now


def test_what_is_refused_costs_nothing() -> None:
    bucket = TokenBucket(10, 1, 0.0)
    assert [bucket.take(11, 0.0) for _ in range(1000)] == [False] * 1000
    assert bucket.is_full(0.0)
    assert bucket.take(10, 0.0)
    assert not bucket.take(1, 0.5)
    assert bucket.take(1, 1.0)
    assert not bucket.is_full(10.9)
    assert bucket.is_full(11.0)
