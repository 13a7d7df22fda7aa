"""How many connections there may be at once, and how much one of them may do in a time.

Pure but for one log line an episode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import structlog
from attrs import define, field

from mmids_trio.addresses import source_of

CALM_BELOW = 0.9
"""Part of the limit that the number has to fall to before another warning: one for each rush, not for each client."""

MOST_ADDRESSES = 10_000
"""Addresses whose allowance is remembered: some 3 MB."""

log = structlog.get_logger()


@define(eq=False)
class ConnectionLimiter:
    """Counts connections up to `limit`, and `limit_per_ip` of one address (`addresses.source_of`)."""

    limit: float
    limit_per_ip: float = inf
    present: int = field(default=0, init=False)
    turned_away: int = field(default=0, init=False)
    """How many found no room, ever."""
    _is_calm: bool = field(default=True, init=False)
    _of_source: dict[str, int] = field(factory=dict, init=False)
    _warned_of: set[str] = field(factory=set, init=False)
    """Addresses at their limit that the log has been told of; only such that are in `_of_source`."""

    def enter(self) -> bool:
        """One more, if there is room."""
        if self.present >= self.limit:
            self.turned_away += 1
            if self._is_calm:
                log.warning("too many connections, new ones are closed at once", limit=self.limit)
            self._is_calm = False
            return False
        self.present += 1
        return True

    def leave(self) -> None:
        """One less."""
        self.present -= 1
        self._is_calm = self._is_calm or self.present < CALM_BELOW * self.limit

    @contextmanager
    def one_of(self, host: str) -> Iterator[bool]:
        """Count one that has entered among those of its address; whether there is room for it."""
        source = source_of(host)
        count = self._of_source.get(source, 0)
        if count >= self.limit_per_ip:
            self.turned_away += 1
            self._warn_of(source)
            yield False
            return
        self._of_source[source] = count + 1
        try:
            yield True
        finally:
            self._take_out(source)

    def _take_out(self, source: str) -> None:
        left = self._of_source[source] = self._of_source[source] - 1
        if left < CALM_BELOW * self.limit_per_ip:
            self._warned_of.discard(source)
        if not left:
            del self._of_source[source]

    def _warn_of(self, source: str) -> None:
        if source not in self._warned_of:
            self._warned_of.add(source)
            log.warning("too many connections of one address, new ones are closed", ip=source, limit=self.limit_per_ip)


@define
class TokenBucket:
    """`burst` at once, and `rate` a second in the long run. Times are seconds on any clock that does not go back."""

    burst: float
    rate: float
    since: float
    """When it was full."""
    _left: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst

    def spend(self, amount: float, now: float) -> bool:
        """Take `amount`; whether there was so much."""
        self._left = min(self.burst, self._left + (now - self.since) * self.rate) - amount
        self.since = now
        return self._left >= 0

    def take(self, amount: float, now: float) -> bool:
        """Take `amount` if there is so much; what is refused costs nothing, so that a flood leaves no debt."""
        self._left = min(self.burst, self._left + (now - self.since) * self.rate)
        self.since = now
        has_enough = self._left >= amount
        if has_enough:
            self._left -= amount
        return has_enough

    def is_full(self, now: float) -> bool:
        """Whether it is as if nothing had ever been taken."""
        return self._left + (now - self.since) * self.rate >= self.burst

    def spend_what_is_left(self, amount: float, now: float) -> bool:
        """The same, but who wants more than there is leaves nothing, and no debt."""
        was_enough = self.spend(amount, now)
        self._left = max(self._left, 0.0)
        return was_enough


@define(eq=False)
class SharedAllowances:
    """A `TokenBucket` for each address (`addresses.source_of`), which outlives connections: a new one renews nothing.

    The `most` addresses that spent last are remembered; who was forgotten has a full one again.
    """

    burst: float
    rate: float
    most: int = MOST_ADDRESSES
    _buckets: dict[str, TokenBucket] = field(factory=dict, init=False)
    """The one that spent last is the last."""

    def __len__(self) -> int:
        return len(self._buckets)

    def spend(self, host: str, amount: float, now: float) -> bool:
        """Take `amount` of what the address of `host` may spend; whether there was so much."""
        source = source_of(host)
        bucket = self._buckets.pop(source, None) or TokenBucket(self.burst, self.rate, now)
        self._buckets[source] = bucket
        if len(self._buckets) > self.most:
            del self._buckets[next(iter(self._buckets))]
        return bucket.spend_what_is_left(amount, now)
