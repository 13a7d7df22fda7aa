"""How many streams publishers may have on one server, and how many of them may wait for a publisher's return.

One object for all `rtmp_receive` steps of a server, since a client chooses freely which of them it comes to.  Every
decision is synchronous, like those of `publishers`, which asks.
"""

from collections.abc import Callable
from math import inf

from attrs import define, field, frozen

from mmids_trio.addresses import source_of
from mmids_trio.config.settings import Settings
from mmids_trio.media_memory import MediaMemory
from mmids_trio.rejections import RejectCounters, RejectReason

MAX_INTERRUPTED_OF_ADDRESS = 16
"""Interrupted streams of one address: more than a venue has encoders behind one line that fails."""


@frozen
class _Interrupted:
    """A stream that waits: the address that its publisher came from, and how to end it."""

    source: str
    end: Callable[[], None]


@define(eq=False)
class StreamRoom:
    """Counts the streams of a server, and ends the oldest interrupted one where there are too many.

    `grace_after`: seconds that a stream has to have been on the air before it is worth waiting for.
    """

    max_streams: float = inf
    max_interrupted: float = inf
    grace_after: float = 0.0
    rejections: RejectCounters = field(factory=RejectCounters)
    memory: MediaMemory = field(factory=MediaMemory)
    """What the streams hold."""
    present: int = field(default=0, init=False)
    """Streams, interrupted ones included."""
    _interrupted: dict[object, "_Interrupted"] = field(factory=dict, init=False)
    """The oldest first."""

    @classmethod
    def of(cls, settings: Settings, rejections: RejectCounters, memory: MediaMemory) -> "StreamRoom":
        """That of a server."""
        return cls(settings.max_streams, settings.max_interrupted, settings.grace_after, rejections, memory)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another stream."""
        return self.present >= self.max_streams

    @property
    def interrupted(self) -> int:
        """Streams that wait for a publisher."""
        return len(self._interrupted)

    def is_worth_waiting_for(self, on_air: float) -> bool:
        """Whether a stream that was on the air for so many seconds is interrupted, and does not end at once."""
        if on_air < self.grace_after:
            self.rejections.count(RejectReason.GRACE_TOO_EARLY)
            return False
        return self.max_interrupted > 0

    def wait_for(self, stream: object, host: str, end: Callable[[], None]) -> None:
        """`stream`, whose publisher came from `host`, waits for its return; one that waits longer may have to `end`."""
        source = source_of(host)
        same = [other for other, interrupted in self._interrupted.items() if interrupted.source == source]
        if len(same) >= MAX_INTERRUPTED_OF_ADDRESS:
            self._end(same[0])
        elif len(self._interrupted) >= self.max_interrupted:
            self._end(next(iter(self._interrupted)))
        self._interrupted[stream] = _Interrupted(source, end)

    def wait_no_more(self, stream: object) -> None:
        """A publisher has come back to `stream`, or it has ended. Repeating it does nothing."""
        self._interrupted.pop(stream, None)

    def _end(self, stream: object) -> None:
        self.rejections.count(RejectReason.INTERRUPTED)
        self._interrupted.pop(stream).end()
