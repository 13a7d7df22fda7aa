"""What the API counts of itself, and how long a client may take: for parts that know nothing of HTTP."""

from collections import Counter

from attrs import define, field

KNOWN_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
"""All others are counted together: a client chooses them."""

SEND_TIMEOUT_SECONDS = 10.0
"""How long one piece of a response may take; a reader slower than 64 KiB in 10 s is stuck."""


@define(eq=False)
class HttpCounts:
    """What the clients of the API have done since the server began, in plain numbers."""

    connections: int = field(default=0, init=False)
    """Those that are open."""
    requests: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    """By method, and by status or `hung up`."""

    def ended(self, method: str, status: int | None) -> None:
        """A request has been answered; without a status its client has hung up."""
        shown = method if method in KNOWN_METHODS else "other"
        self.requests[shown, "hung up" if status is None else str(status)] += 1
