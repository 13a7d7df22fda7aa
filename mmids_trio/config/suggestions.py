"""Words in messages: how an unknown word is shown, and which known word was probably meant.

Apart from the parser because every layer that looks a name up (steps, reactors, API) says it the same way.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from mmids_trio.errors import printable

MAX_COMPARED_LENGTH = 64
"""Longer words are not compared: no name of ours is half as long, and comparing is quadratic."""

MAX_SHOWN_LENGTH = 60
"""What a message quotes of a word; the rest of it adds nothing that the source line does not show."""

SIMILARITY = 0.6
"""Share of common letters from which a word counts as a misspelling (difflib's own default)."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'rtmp_receive'?"`, or `""` if nothing in `known` is near; case does not count."""
    if len(word) > MAX_COMPARED_LENGTH:
        return ""
    by_lower_case = {name.lower(): name for name in sorted(known)}
    nearest = get_close_matches(word.lower(), by_lower_case, n=1, cutoff=SIMILARITY)
    return f"; did you mean '{by_lower_case[nearest[0]]}'?" if nearest else ""


def shown(word: str) -> str:
    """`word` in single quotes, shortened if it is long, with characters escaped that do not print."""
    whole = word[:MAX_SHOWN_LENGTH] + ("…" if len(word) > MAX_SHOWN_LENGTH else "")
    return f"'{printable(whole)}'"
