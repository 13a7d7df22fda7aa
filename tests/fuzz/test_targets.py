"""A short run of every target: all that is kept in the corpus, and inputs of a seeded mutator, the same every time."""

from itertools import islice
from random import Random

import pytest

from tests.fuzz.catalog import NAMES, SEEDS, seeds, target
from tests.fuzz.mutate import mutated
from tests.support.effort import some_of

MUTATED = 400
MOST_BYTES = 2048
"""Of a mutated input: the beginnings of recordings hold their variety, the rest is media."""


@pytest.mark.parametrize("name", NAMES)
def test_what_real_programs_made_and_what_fuzzing_found_keep_the_invariant_at_a_bounded_cost(name: str) -> None:
    assert SEEDS[name]()
    for data in seeds(name):
        target(name).check(data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff", b"\x03" * 5000])
def test_inputs_that_are_hardly_any_keep_the_invariant(name: str, data: bytes) -> None:
    target(name).check(data)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_inputs_keep_the_invariant_at_a_bounded_cost(name: str) -> None:
    fuzzed = target(name)
    for data in islice(mutated(seeds(name), fuzzed.dictionary, Random(name), MOST_BYTES), some_of(MUTATED, fast=40)):
        fuzzed.check(data)
