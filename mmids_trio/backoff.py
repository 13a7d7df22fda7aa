"""How long to wait before something that has failed is tried again: a child, a connection to another server.

Apart and pure so that the whole sequence can be read and tested without a clock.
"""

from collections.abc import Callable

from attrs import define, field

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
"""The delay doubles from the first to the longest; both are promised to operators."""

HEALTHY_AFTER_SECONDS = 60.0
"""What has worked for this long was no failed start: the next delay is the first one again."""

JITTER = 0.2
"""Largest part of a delay that chance takes away, so that those that failed together do not come back together."""


@define
class Backoff:
    """The delays of one that is tried again. `random` gives numbers from 0 to 1."""

    random: Callable[[], float]
    first_delay: float = FIRST_DELAY_SECONDS
    longest_delay: float = LONGEST_DELAY_SECONDS
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reset()

    def next_delay(self) -> float:
        """Seconds to wait now."""
        delay = self._next
        self._next = min(2 * delay, self.longest_delay)
        return delay * (1 - JITTER * self.random())

    def reset(self) -> None:
        """Begin anew: it works."""
        self._next = self.first_delay
