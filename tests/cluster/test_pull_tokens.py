"""A pull between nodes shows that it is of the cluster, whatever the clocks of two machines say."""

import pytest

from mmids_trio.cluster.directory import StreamKey
from mmids_trio.cluster.pull_tokens import CLOCKS_APART_S, VALID_S, PullTokens
from tests.support.directories import KEY

A = PullTokens("world", "a", "secret")
B = PullTokens("world", "b", "secret")
NOW = 1_800_000_000.5


def test_a_token_of_another_node_counts_and_ones_own_does_not() -> None:
    token = A.sign(KEY, NOW)
    assert B.is_from_peer(token, KEY, NOW)
    assert not A.is_from_peer(token, KEY, NOW)


@pytest.mark.parametrize("apart", [-CLOCKS_APART_S + VALID_S, 0, CLOCKS_APART_S])
def test_clocks_may_be_some_minutes_apart(apart: float) -> None:
    assert B.is_from_peer(A.sign(KEY, NOW), KEY, NOW + apart)


@pytest.mark.parametrize("apart", [-2 * CLOCKS_APART_S, 2 * CLOCKS_APART_S])
def test_a_token_is_not_for_ever_and_not_of_the_far_future(apart: float) -> None:
    assert not B.is_from_peer(A.sign(KEY, NOW), KEY, NOW + apart)


def test_another_secret_cluster_key_or_node_is_refused() -> None:
    token = A.sign(KEY, NOW)
    assert not PullTokens("world", "b", "other").is_from_peer(token, KEY, NOW)
    assert not PullTokens("other", "b", "secret").is_from_peer(token, KEY, NOW)
    assert not B.is_from_peer(token, StreamKey("live", "other"), NOW)
    assert not B.is_from_peer(token, StreamKey("live/show", ""), NOW)
    assert not B.is_from_peer(token + "c", KEY, NOW)


@pytest.mark.parametrize("token", ["", ".", "1.2.3", "9" * 400, "ünï", "1800000060." + "0" * 64 + ".a", "\ud800"])
def test_no_garbage_is_a_token(token: str) -> None:
    assert not B.is_from_peer(token, KEY, NOW)


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(A)
