"""The words in which watcher and channel speak of each other, so that neither imports the other's insides."""

from enum import Enum
from typing import Protocol

from attrs import define, frozen

from mmids_trio.fanout.stream_log import StampedPreface, StreamLog

MAX_SEND = 256 * 1024
"""Bytes per call of send: the copy into the kernel takes some 50 µs, and more hardly saves calls."""

MAX_SENDS_PER_TURN = 8
"""Sends for one watcher before the others get their turn: 2 MiB, about what a kernel buffers at most."""

MAX_QUEUED_REPLIES = 256 * 1024
"""Bytes of replies (acknowledgements, pings, status) that may wait for one connection: what a client costs
that does not read but goes on asking."""

WATCHER_STALL_SECONDS = 30.0
"""How long a socket may take nothing while there is something to send; as servers wait for a ping's answer."""

MAX_JUMPS = 3
"""Jumps in a row, without reaching the head in between, at which a watcher is given up."""


class WatcherEnd(Enum):
    """Why a watcher has to be disconnected."""

    BROKEN = "the connection broke"
    STALLED = "it took no data for too long"
    TOO_SLOW = "it could not keep up with the stream"
    FLOODED = "it did not read the replies to what it asked"


class Media(Enum):
    """What a watcher gets at present."""

    NONE = "it is in no channel"
    FOLLOWING = "what is in the log from its position on"
    WAITING = "nothing until the next key frame"
    PAUSED = "nothing until it resumes"


@frozen
class JoinPoint:
    """Where a newcomer begins, and what it has to be told before."""

    position: int
    preface: StampedPreface | None = None


class Source(Protocol):
    """The channel, as far as a watcher needs it."""

    @property
    def log(self) -> StreamLog:
        """What is sent."""

    def join_point(self) -> JoinPoint | None:
        """Where a newcomer begins now; `None`: at the next key frame, which the channel will announce."""

    def preface(self) -> StampedPreface | None:
        """Metadata and sequence headers as of now; `None` when there is no stream."""

    def caught_up(self) -> None:
        """A watcher has got everything there is."""


@define
class WatcherCounters:
    """What watchers have cost and missed in a channel."""

    bytes_sent: int = 0
    skips: int = 0
    skipped_packets: int = 0

    def add(self, other: "WatcherCounters") -> None:
        """Sum up."""
        self.bytes_sent += other.bytes_sent
        self.skips += other.skips
        self.skipped_packets += other.skipped_packets
