"""When what came in is sent to the watchers of a step.

A pass costs one send a watcher whatever it carries, so it is the number of passes that costs.  A frame of video is
always sent at once.  Sound is as long as passes are short, which those over 100 watchers are; the longer they take, the
longer sound alone rests, so that over 1,000 watchers it comes along with the next frame of video: encoders that send
each packet by itself cause 31 passes a second instead of 73 then, for 0.6 to 0.7 of the CPU
(`docs/performance.md#sound-that-waits-for-video`).

Time is trio's, so on a mock clock, where a pass takes none, every packet has its own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any

import trio
from attrs import define, field

from mmids_trio.media.events import VIDEO, MediaEvent, MediaPacket
from mmids_trio.metrics.catalog import STEP_PASS
from mmids_trio.metrics.counts import Counts, Distribution
from mmids_trio.steps.stages import StageOutput, Stages
from mmids_trio.workflow.step import Inbox

EVENTS_PER_PASS = 128
"""Events between two passes over the watchers. A burst after a standstill may hold more than a channel keeps (ten
seconds), so it is sent piece by piece; ten seconds of 15 frames a second without audio are 150 packets. Others have a
turn in between, as an inbox may hold thousands of tiny events, at some 2 µs each."""

REST = 8
"""How long sound alone rests after a pass, as a multiple of what that took: such passes take a ninth of the time."""

LONGEST_REST = 0.040
"""Seconds: a frame, at 25 a second."""


@define(eq=False)
class SendScheduler:
    """Passes of one step that serves viewers; `interval`: seconds from one to the next at least.

    One that waits covers all that has come meanwhile.
    """

    audience: Stages[Any]
    interval: float
    _touched: dict[StageOutput, None] = field(factory=dict, init=False)
    """Outputs with something to send."""
    _has_video: bool = field(default=False, init=False)
    """Whether video is among it."""
    _due_at: float = field(default=-inf, init=False)
    _due_without_video_at: float = field(default=-inf, init=False)
    _durations: Distribution = field(factory=Distribution, init=False)
    _patience: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Around the wait for what comes before a pass is due."""

    async def next_events(self, inbox: Inbox) -> Sequence[MediaEvent]:
        """What comes next; nothing, where a pass is due before."""
        if not self._touched:
            return await inbox.receive()
        with trio.move_on_at(self._next_at) as self._patience:
            return await inbox.receive()
        return ()

    def take_interval(self, interval: float) -> Callable[[], None]:
        """Go by this one from now on, also for the pass that is due next; returns what takes that back."""
        before = self.interval, self._due_at, self._due_without_video_at
        shift = interval - self.interval
        due_at = self._due_at + shift
        self._go_by(interval, due_at, max(self._due_without_video_at + min(shift, 0.0), due_at))
        return partial(self._go_by, *before)

    def _go_by(self, interval: float, due_at: float, due_without_video_at: float) -> None:
        self.interval, self._due_at, self._due_without_video_at = interval, due_at, due_without_video_at
        self._patience.deadline = self._next_at

    async def feed_and_send(self, events: Sequence[MediaEvent]) -> None:
        """Take events, and send if that is due."""
        for start in range(0, len(events), EVENTS_PER_PASS):
            if start:
                await self._send()
                await trio.lowlevel.checkpoint()
            piece = events[start : start + EVENTS_PER_PASS]
            self._touched |= dict.fromkeys(self.audience.feed(piece))
            if not self._has_video:
                for event in piece:
                    if type(event) is MediaPacket and event.kind is VIDEO:
                        self._has_video = True
                        break
        if self._touched and trio.current_time() >= self._next_at:
            await self._send()

    def counts(self) -> Counts:
        """See `StepContext.show_counts`."""
        return {(STEP_PASS, ()): self._durations}

    @property
    def _next_at(self) -> float:
        return self._due_at if self._has_video else self._due_without_video_at

    async def _send(self) -> None:
        touched, self._touched, self._has_video = self._touched, {}, False
        began = ended = trio.current_time()
        for output in touched:
            before = ended
            await output.send_pass()
            ended = trio.current_time()
            self._durations.observe(ended - before)
        self._due_at = began + self.interval
        self._due_without_video_at = max(self._due_at, ended + min(REST * (ended - began), LONGEST_REST))
