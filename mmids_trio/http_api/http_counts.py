"""What the clients of the API do, in plain numbers. Pure."""

from collections import Counter

from attrs import define, field

KNOWN_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
"""All others are counted together: a client chooses them."""


@define(eq=False)
class HttpCounts:
    """Since the server began."""

    connections: int = field(default=0, init=False)
    """Those that are open."""
    requests: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    """By method, and by status or `hung up`."""

    def ended(self, method: str, status: int | None) -> None:
        """A request has been answered; without a status its client has hung up."""
        shown = method if method in KNOWN_METHODS else "other"
        self.requests[shown, "hung up" if status is None else str(status)] += 1
