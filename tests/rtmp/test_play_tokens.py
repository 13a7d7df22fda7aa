"""Publish tokens and play tokens: what is signed, for whom, until when; and that nothing else will do."""

import hashlib
import hmac
from string import hexdigits
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.rtmp.protocol.requests import Query, parse_query
from mmids_trio.rtmp.server.play_tokens import TokenVerdict, is_token, judge, sign

T = TypeVar("T")
SECRETS = st.text(min_size=1, max_size=40)
KEYS = st.text(max_size=40)


def signed(play_key: str, key: str, expires: int) -> Query:
    return parse_query(f"expires={expires}&token={sign(play_key, key, expires)}")


def test_a_token_is_the_documented_hmac() -> None:
    by_hand = hmac.new(b"s3cret", b"talk:1800000000", hashlib.sha256).hexdigest()
    assert sign("s3cret", "talk", 1_800_000_000) == by_hand


@given(SECRETS, KEYS, st.integers(1, 10**12 - 1), st.floats(-100, 100))
def test_a_token_is_good_until_it_expires(play_key: str, key: str, expires: int, before: float) -> None:
    verdict = judge(signed(play_key, key, expires), play_key, key, expires - before)
    assert verdict is (TokenVerdict.GOOD if expires - before < expires else TokenVerdict.EXPIRED)


def two_of(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[list[T]]:
    return st.lists(strategy, min_size=2, max_size=2, unique=True)


@given(two_of(SECRETS), two_of(KEYS), two_of(st.integers(0, 10**9)))
def test_a_token_is_for_one_play_key_one_stream_key_and_one_expiry(
    play_keys: list[str], keys: list[str], expiries: list[int]
) -> None:
    (play_key, other_play_key), (key, other_key), (expires, other_expires) = play_keys, keys, expiries
    query = signed(play_key, key, expires)
    assert judge(query, other_play_key, key, 0) is TokenVerdict.WRONG
    assert judge(query, play_key, other_key, 0) is TokenVerdict.WRONG
    later = parse_query(f"expires={other_expires}&token={query.parameters['token']}")
    assert judge(later, play_key, key, 0) is TokenVerdict.WRONG


def test_the_end_of_a_key_cannot_become_the_beginning_of_an_expiry() -> None:
    query = parse_query(f"expires=1:2&token={sign('s3cret', 'talk:1', 2)}")
    assert judge(query, "s3cret", "talk", 0) is TokenVerdict.WRONG


@pytest.mark.parametrize("expires", ["", "-1", "1e9", " 5", "5.0", "\uff11", "9" * 13])
def test_an_expiry_is_a_plain_number_also_where_it_is_signed(expires: str) -> None:
    token = hmac.new(b"s3cret", f"talk:{expires}".encode(), hashlib.sha256).hexdigest()
    assert judge(Query("", {"expires": expires, "token": token}), "s3cret", "talk", 0) is TokenVerdict.WRONG


def test_hexadecimal_may_be_in_upper_case() -> None:
    token = sign("s3cret", "talk", 9).upper()
    assert set(token) <= set(hexdigits)
    assert judge(Query("", {"expires": "9", "token": token}), "s3cret", "talk", 0) is TokenVerdict.GOOD


@pytest.mark.parametrize("raw", ["", "token=", "expires=9", "token=%FF%00&expires=9", "token=\udcff&expires=\udcff"])
def test_a_query_without_a_proper_token_is_worth_nothing(raw: str) -> None:
    query = parse_query(raw)
    assert judge(query, "s3cret", "talk", 0) is TokenVerdict.WRONG
    assert not is_token(query, "s3cret")


@given(SECRETS, st.text(max_size=40))
def test_a_publish_token_has_to_be_the_very_same(token: str, given_token: str) -> None:
    assert is_token(Query("", {"token": given_token}), token) is (given_token == token)


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return True

    monkeypatch.setattr("mmids_trio.rtmp.server.play_tokens.hmac.compare_digest", compare)
    assert is_token(parse_query("token=a"), "b")
    assert judge(parse_query("token=c&expires=9"), "k", "key", 0) is TokenVerdict.GOOD
    assert compared == [(b"a", b"b"), (b"c", sign("k", "key", 9).encode())]
