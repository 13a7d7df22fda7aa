"""What the clients of an RTMP server have done so far, in plain numbers. Pure.

Apart from the sessions, which count here, as it outlives them.
"""

from collections import Counter

from attrs import define, field

NO_ROOM, NO_TLS = "no room", "TLS handshake"
"""Reasons of refusals that have no RTMP status code."""

LEFT = "left"
"""The end of a connection that the client has ended in good order."""


@define(eq=False)
class Traffic:
    """Sums over all connections; `ignored` and `abandoned` only over those that have ended."""

    accepted: int = 0
    """Connections that found room."""
    received_bytes: int = 0
    ignored: int = 0
    """Media and data messages that belonged to no stream that was being published."""
    abandoned: int = 0
    """Messages that were begun and not finished."""
    refusals: Counter[str] = field(factory=Counter)
    """By reason, which is one of a few: a status code, or one of the above."""
    ends: Counter[str] = field(factory=Counter)
    """Of connections, by what ended them: one of a few."""
