"""What the clients of an RTMP server have done so far, in plain numbers. Pure.

Apart from the sessions, which count here, as it outlives them.
"""

from attrs import define


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
