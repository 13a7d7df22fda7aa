"""The step `few_streams count=N`: no more than N streams pass at a time; the others are not heard of behind it."""

from collections.abc import Sequence

import trio
from attrs import define, field, frozen

from mmids_trio.steps import (
    Flow,
    Inbox,
    MediaEvent,
    Outbox,
    Step,
    StepContext,
    StepType,
    StreamEnded,
    StreamId,
    StreamStarted,
    parameter,
    whole_number,
)

MOST_STREAMS = 1000


@define(eq=False)
class FewStreams:
    """The first streams that come; one that ends makes room for the next that starts."""

    count: int
    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    passing: set[StreamId] = field(factory=set[StreamId], init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `mmids_trio.steps.Step`."""
        task_status.started()
        while True:
            events = await inbox.receive()
            if chosen := self.choose(events):
                await outbox.send(chosen)

    def choose(self, events: Sequence[MediaEvent]) -> list[MediaEvent]:
        """Those events that are of streams which pass."""
        return [event for event in events if self._passes(event)]

    def _passes(self, event: MediaEvent) -> bool:
        if isinstance(event, StreamStarted) and len(self.passing) < self.count:
            self.passing.add(event.stream_id)
        passes = event.stream_id in self.passing
        if isinstance(event, StreamEnded):
            self.passing.discard(event.stream_id)
        return passes


@frozen
class FewStreamsParameters:
    """What is written behind the step's name."""

    count: int = parameter(whole_number(1, MOST_STREAMS))


def few_streams() -> StepType:
    """For `build_server(more_steps=...)`, and for tests."""

    def build(parameters: FewStreamsParameters, context: StepContext) -> Step:
        return FewStreams(parameters.count)

    return StepType("few_streams", FewStreamsParameters, build)
