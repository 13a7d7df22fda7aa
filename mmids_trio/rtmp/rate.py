"""How many bits a second something takes: pure, fed with times and totals by who knows them."""

from attrs import define

WINDOW_SECONDS = 2.0
"""Long enough to hold a key frame and what follows it, short enough to show that something has stopped."""


@define
class RateMeter:
    """The rate over the last whole window; 0 when nothing was noted for two."""

    _since: float | None = None
    _total_then: int = 0
    _rate: float = 0.0

    def note(self, now: float, total_bytes: int) -> None:
        """`total_bytes` had gone out by `now` (seconds on any clock that does not go back)."""
        if self._since is None:
            self._since, self._total_then = now, total_bytes
        elif now - self._since >= WINDOW_SECONDS:
            self._rate = 8 * (total_bytes - self._total_then) / (now - self._since)
            self._since, self._total_then = now, total_bytes

    def bits_per_second(self, now: float) -> int:
        """As of now."""
        is_fresh = self._since is not None and now - self._since <= 2 * WINDOW_SECONDS
        return round(self._rate) if is_fresh else 0
