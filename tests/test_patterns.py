"""Patterns with `*`."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmids_trio.patterns import matches


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "any/thing *", True),
        ("team-*", "team-a", True),
        ("team-*", "team", False),
        ("*-main", "cam-main", True),
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("[a]?", "a?", False),
        ("a", "A", False),
    ],
)
def test_a_star_is_any_characters_and_all_else_is_itself(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_it_says_what_the_standard_library_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) is fnmatchcase(text, pattern)
