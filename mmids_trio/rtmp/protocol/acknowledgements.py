"""When to acknowledge received bytes (RTMP 1.0 §5.4.3): the same for both ends of a connection."""

from attrs import define

DEFAULT_WINDOW = 2_500_000
"""Bytes; what Adobe's server announced, most others since, and what we assume of a silent peer."""


@define
class ReceivedBytes:
    """Counts what came, and says when an acknowledgement is due: at half the peer's window at the latest.

    librtmp and Flash stop sending when it does not come.  A window of any size costs at most one
    acknowledgement per read.
    """

    total: int = 0
    window: int = DEFAULT_WINDOW
    _acknowledged: int = 0

    def announce_window(self, size: int) -> None:
        """The peer announced its window in bytes; 0 means that it never waits, so the default stands."""
        self.window = size or DEFAULT_WINDOW

    def is_due_after(self, count: int) -> bool:
        """Count `count` more bytes; true when `total` must be acknowledged now (it then counts as that)."""
        self.total += count
        if self.total - self._acknowledged < self.window // 2:
            return False
        self._acknowledged = self.total
        return True
