"""Which of several sources a failover step sends, and when it changes: a state machine without tasks or clock.

Sources are ranked: the primary first, then the backups in their order.  A source is *well* while its frames come no
more than `after` seconds apart.  A change of source is decided at once and happens with the next key frame of the one
that is wanted; until then whatever the present one still sends goes on.
"""

from collections.abc import Sequence
from math import inf

from attrs import define, field

from mmids_trio.continuity.program import FeedMemory, Program
from mmids_trio.errors import CannotSwitch
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId, StreamMetadata


@define
class _Source:
    name: str
    memory: FeedMemory = field(factory=FeedMemory)
    is_live: bool = False
    last_frame_at: float = -inf
    well_since: float = inf
    """When its frames began to come in time; infinite while they do not."""


@define
class Failover:
    """One outgoing stream. `reverts`: whether a source of higher rank is preferred as soon as it has been well for
    `after` seconds; else only when the present one fails."""

    stream_id: StreamId
    names: Sequence[str]
    after: float
    reverts: bool
    sending: str | None = field(default=None, init=False)
    """The source that is sent; `None` before the first."""
    wanted: str | None = field(default=None, init=False)
    """The one that will be, from its next key frame on."""
    reason: str = field(default="", init=False)
    """Why the last change was decided."""
    _program: Program = field(init=False)
    _sources: dict[str, _Source] = field(init=False)
    _is_forced: bool = field(default=False, init=False)
    _lost: str | None = field(default=None, init=False)
    """The source that was sent when its stream ended, for the reason of what follows."""

    def __attrs_post_init__(self) -> None:
        self._program = Program(self.stream_id)
        self._sources = {name: _Source(name) for name in self.names}

    def started(self, name: str) -> None:
        """A source's stream begins (anew)."""
        source = self._sources[name]
        source.memory, source.is_live, source.well_since = FeedMemory(), True, inf

    def ended(self, name: str, now: float) -> None:
        """A source's stream is over."""
        source = self._sources[name]
        source.is_live, source.well_since, source.last_frame_at = False, inf, -inf
        if self.sending == name:
            self.sending, self._lost = None, name  # should it come back, it has to begin with a key frame
        if self.wanted == name:
            self.wanted = None
        self.decide(now)

    @property
    def is_live(self) -> bool:
        """Whether any source is."""
        return any(source.is_live for source in self._sources.values())

    def take(self, name: str, event: StreamMetadata | MediaPacket, now: float) -> list[MediaEvent]:
        """What is sent for something that a source has sent."""
        source = self._sources[name]
        if source.memory.remember(event):
            return [self._program.header(event)] if name == self.sending else []
        assert isinstance(event, MediaPacket)
        if source.memory.is_vital(event):
            if now >= source.last_frame_at + self.after:
                source.well_since = now
            source.last_frame_at = now
        self.decide(now)
        if name == self.wanted and source.memory.may_begin_with(event, now):
            self.sending, self.wanted = name, None
            return self._program.switch(source.memory, event, now)
        return [self._program.frame(event, now)] if name == self.sending else []

    def switch_to(self, name: str, now: float) -> None:
        """An operator wants this source; it is sent until it fails. Raises `CannotSwitch` where it is not well."""
        if name not in self._sources:
            raise CannotSwitch(f"there is no source '{name}'; there are {', '.join(self.names)}")
        if not self._is_well(self._sources[name], now):
            raise CannotSwitch(f"source '{name}' sends nothing at present")
        self._is_forced = not self._is_first(name)
        self._want(name, "asked for")

    def _is_first(self, name: str) -> bool:
        return name == self.names[0]

    def decide(self, now: float) -> None:
        """Look which source is to be sent."""
        present = self.wanted or self.sending
        well = [source for source in self._sources.values() if self._is_well(source, now)]
        if present is None or not self._is_well(self._sources[present], now):
            self._is_forced = False
            if well:
                self._want(well[0].name, self._why_not(present))
        elif self.reverts and not self._is_forced:
            best = next((source for source in well if now - source.well_since >= self.after), None)
            if best is not None and self.names.index(best.name) < self.names.index(present):
                self._want(best.name, f"'{best.name}' is back")

    def _why_not(self, present: str | None) -> str:
        if present is not None:
            return f"'{present}' sends nothing"
        return "nothing was sent" if self._lost is None else f"'{self._lost}' has ended"

    def next_at(self, now: float) -> float:
        """When to `decide` although nothing comes."""
        present = self.wanted or self.sending
        if present is None or not self._is_well(self._sources[present], now):
            return inf
        return self._sources[present].last_frame_at + self.after

    def _is_well(self, source: _Source, now: float) -> bool:
        # Written as in `next_at`: rounded in another way, it could be well in the very instant in which it fails.
        return source.is_live and now < source.last_frame_at + self.after

    def _want(self, name: str, reason: str) -> None:
        if name == self.sending:
            self.wanted = None
        elif name != self.wanted:
            self.wanted, self.reason = name, reason
