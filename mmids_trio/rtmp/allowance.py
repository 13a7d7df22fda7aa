"""How much of something a client may do, as an amount that refills with time (a token bucket). Pure."""

from attrs import define, field


@define
class Allowance:
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
