"""The seam between the fan-out and a protocol: all that the channel, its log and its passes know of one.

A protocol brings a `Rendering`, which makes bytes of what happens to a stream; these are shared by all subscribers.
Where some of its clients want the same bytes under another address (RTMP: another message stream), it brings a
`Readdress` for each of them as well.  Nothing in this package imports from a protocol.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from mmids_trio.fanout.stream_log import LogEntry
from mmids_trio.media.events import MediaPacket


class Rendering(Protocol):
    """Turns what happens to a stream into bytes; stateless. Timestamps are milliseconds, modulo 2**32.

    What it makes may be put behind anything that it has made before, since late joiners begin anywhere; it may be
    empty, where the protocol has no word for it.
    """

    def packet(self, packet: MediaPacket, timestamp: int) -> bytes:
        """One frame or sequence header, at `timestamp` in place of its own."""

    def metadata(self, values: Mapping[str, object], timestamp: int) -> bytes:
        """The stream's metadata."""

    def stream_begin(self) -> bytes:
        """A stream starts."""

    def stream_end(self) -> bytes:
        """The stream has ended; another may follow."""


Readdress = Callable[[LogEntry], bytes]
"""What one subscriber gets in place of the bytes that all share; stateless, and never asked for an empty entry."""
