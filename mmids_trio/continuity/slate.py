"""What a stream with a slate sends: its own frames, and in every gap those of a loop that was prepared before.

    starting --first frame--> live --no frame for `after`--> slate --key frame--> live
                                                              slate --`max`--> silent --key frame--> live

Pure: the step gives the time with every call, sleeps until `next_at`, and asks what is `due` then.
"""

from collections.abc import Sequence
from enum import Enum
from math import inf

from attrs import define, evolve, field, frozen

from mmids_trio.continuity.program import FeedMemory, Program
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId, StreamMetadata
from mmids_trio.media.timeline import shifted

MAX_BEHIND_SECONDS = 1.0
"""A step that could not run for longer (the machine stood still) goes on from now instead of catching up."""


USUAL_STEP_MS = 40
"""Where a loop has a single picture."""


class SlateState(Enum):
    """What is sent at present."""

    STARTING = "starting"
    LIVE = "live"
    SLATE = "slate"
    SILENT = "silent"


@frozen
class SlateLoop:
    """Some seconds of pictures and silence that can follow themselves; begins with a key frame at timestamp 0."""

    memory: FeedMemory
    frames: tuple[MediaPacket, ...]
    """In the order of their timestamps, which are milliseconds from the loop's beginning."""
    duration_ms: int

    @property
    def first(self) -> MediaPacket:
        """The frame that it begins with."""
        return self.frames[0]


def make_loop(events: Sequence[MediaEvent]) -> SlateLoop | None:
    """The loop that `events` are, from their first key frame on; `None` where there is none."""
    memory, frames = FeedMemory(), list[MediaPacket]()
    for event in events:
        if isinstance(event, (StreamMetadata, MediaPacket)) and not memory.remember(event):
            assert isinstance(event, MediaPacket)
            if frames or memory.may_begin_with(event, 0):
                frames.append(event)
    if not frames:
        return None
    base = frames[0].timestamp
    placed = [evolve(frame, timestamp=max(frame.timestamp - base, 0)) for frame in frames]
    placed.sort(key=lambda frame: frame.timestamp)
    duration = _duration([frame.timestamp for frame in placed if memory.is_vital(frame)])
    return SlateLoop(memory, tuple(frame for frame in placed if frame.timestamp < duration), duration)


def _duration(times: Sequence[int]) -> int:
    """Milliseconds from the first frame to the first of the next round: as far behind the last as that is behind the
    one before it."""
    return times[-1] + (max(times[-1] - times[-2], 1) if len(times) > 1 else USUAL_STEP_MS)


@define
class Slate:
    """One stream. `after`, `longest`: seconds, the latter may be infinite."""

    stream_id: StreamId
    after: float
    longest: float = inf
    loop: SlateLoop | None = None
    """Set when it is prepared; another one counts from the next gap on."""
    state: SlateState = field(default=SlateState.STARTING, init=False)
    memory: FeedMemory = field(factory=FeedMemory, init=False)
    _program: Program = field(init=False)
    _last_frame_at: float = field(default=0.0, init=False)
    _began: float = field(default=0.0, init=False)
    _filling: SlateLoop | None = field(default=None, init=False)
    _place: int = field(default=0, init=False)
    """Of the next frame of the loop, over all its rounds."""
    _round_began: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._program = Program(self.stream_id)

    def take(self, event: StreamMetadata | MediaPacket, now: float) -> list[MediaEvent]:
        """What is sent for something that has come from the live source."""
        if self.memory.remember(event):
            return [self._program.header(event)] if self.state is SlateState.LIVE else []
        assert isinstance(event, MediaPacket)
        if self.state is SlateState.LIVE:
            if self.memory.is_vital(event):
                self._last_frame_at = now
            return [self._program.frame(event, now)]
        if not self.memory.may_begin_with(event, now):
            return []
        self.state, self._last_frame_at = SlateState.LIVE, now
        return self._program.switch(self.memory, event, now)

    def next_at(self) -> float:
        """When to ask `due`; never, while there is nothing to wait for."""
        if self.state is SlateState.LIVE and self.loop is not None:
            return self._last_frame_at + self.after
        if self.state is SlateState.SLATE:
            return min(self._due_at(), self._began + self.longest)
        return inf

    def due(self, now: float) -> list[MediaEvent]:
        """What is sent because time has passed."""
        events: list[MediaEvent] = []
        if self.state is SlateState.LIVE and self.loop is not None and now >= self._last_frame_at + self.after:
            self.state, self._began, self._filling = SlateState.SLATE, now, self.loop
            self._place, self._round_began = 1, now
            events += self._program.switch(self.loop.memory, self.loop.first, now)
        if self.state is not SlateState.SLATE:
            return events
        if now - self._due_at() > MAX_BEHIND_SECONDS:
            self._round_began += now - self._due_at()
        while self._due_at() <= now:
            events.append(self._next_frame(now))
        if now >= self._began + self.longest:
            self.state = SlateState.SILENT
        return events

    def _due_at(self) -> float:
        assert self._filling is not None
        rounds, place = divmod(self._place, len(self._filling.frames))
        offset = rounds * self._filling.duration_ms + self._filling.frames[place].timestamp
        return self._round_began + offset / 1000

    def _next_frame(self, now: float) -> MediaPacket:
        assert self._filling is not None
        rounds, place = divmod(self._place, len(self._filling.frames))
        self._place += 1
        frame = self._filling.frames[place]
        return self._program.frame(
            evolve(frame, timestamp=shifted(frame.timestamp, rounds * self._filling.duration_ms)), now
        )
