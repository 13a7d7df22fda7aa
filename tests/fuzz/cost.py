"""What an input costs, counted instead of measured.

A bound on it for each byte finds what grows faster than its input.
"""

from collections.abc import Callable

from tests.support.calls import calls


def calls_of(act: Callable[[bytes], None], data: bytes) -> int:
    """How many calls `act(data)` makes."""
    return calls(lambda: act(data)).total()
