"""What the targets are judged and fed with: the counter of calls, the mutator, records."""

from itertools import islice
from random import Random

import pytest

from tests.fuzz.catalog import NAMES, Target, target
from tests.fuzz.cost import calls_of
from tests.fuzz.mutate import mutated
from tests.fuzz.reading import WHOLE, pieces, records


def _quadratic(data: bytes) -> None:
    for end in range(len(data)):
        for byte in data[:end]:
            abs(byte)


def _linear(data: bytes) -> None:
    for byte in data:
        abs(byte)


@pytest.mark.thorough
def test_what_grows_faster_than_its_input_is_found_and_what_does_not_is_not() -> None:
    Target("linear", _linear, 100, 5, ()).check(bytes(1000))
    with pytest.raises(AssertionError, match="at most"):
        Target("quadratic", _quadratic, 100, 5, ()).check(bytes(1000))


def test_a_cost_is_the_same_every_time() -> None:
    assert calls_of(_linear, bytes(100)) == calls_of(_linear, bytes(100)) > 100


def test_mutated_inputs_follow_from_the_seed_and_are_bounded() -> None:
    def made(seed: int) -> list[bytes]:
        return list(islice(mutated([b"one", b"two" * 100], [b"word"], Random(seed), 64), 200))

    assert made(1) == made(1) != made(2)
    assert max(map(len, made(1))) <= 64
    assert len(set(made(1))) > 100
    assert any(b"word" in one for one in made(1))


def test_pieces_and_records_lose_nothing() -> None:
    assert pieces(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert pieces(b"abcde", WHOLE) == [b"abcde"]
    assert list(records(b"H\0\2abI\0\x09c", 1)) == [(b"H", b"ab"), (b"I", b"c")]


def test_every_target_is_there_and_another_is_named_with_those_there_are() -> None:
    assert [target(name).name for name in NAMES] == list(NAMES)
    with pytest.raises(KeyError, match="chunks"):
        target("nonsense")
