"""An bucket refills with time, and never lets through more than it says."""

from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.net.limits import SharedAllowances, TokenBucket


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


def test_who_asks_for_too_much_has_no_debt() -> None:
    bucket = TokenBucket(burst=10, rate=2, since=0)
    assert not bucket.spend_what_is_left(1_000, 0)
    assert bucket.spend_what_is_left(2, 1)


def test_an_allowance_is_one_for_all_of_an_address_and_no_others() -> None:
    shared = SharedAllowances(burst=10, rate=2)
    assert shared.spend("2001:db8::1", 6, 0)
    assert not shared.spend("2001:db8::2", 6, 0)
    assert shared.spend("2001:db8:0:1::1", 6, 0)


def test_a_bounded_number_of_addresses_is_remembered() -> None:
    shared = SharedAllowances(burst=10, rate=2, most=3)
    for number in range(100):
        shared.spend("192.0.2.200", 1, 0)
        shared.spend(f"192.0.2.{number}", 1, 0)
        assert len(shared) <= 3
    assert not shared.spend("192.0.2.200", 1, 0)
