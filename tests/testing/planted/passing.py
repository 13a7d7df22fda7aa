"""Steps that pass on wrongly: not what they got, not all of it, or not in its order."""

from collections.abc import Sequence

import trio
from attrs import define, evolve, field

from mmids_trio.media.events import MediaEvent, MediaKind, MediaPacket, StreamEnded, StreamId, StreamMetadata
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.step import Inbox, Outbox


@define(eq=False)
class SwallowsEnds:
    """It passes on media and what belongs to them, and takes the end of a stream for itself."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            await outbox.send([event for event in events if not isinstance(event, StreamEnded)])


@define(eq=False)
class SendsCopies:
    """It passes on metadata that are equal to those that came, and are others."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            await outbox.send([evolve(event) if isinstance(event, StreamMetadata) else event for event in events])


@define(eq=False)
class RepeatsHeaders:
    """It sends the last sequence header again before each key frame."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    headers: dict[StreamId, MediaPacket] = field(factory=dict)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events: list[MediaEvent] = []
            for event in await inbox.receive():
                if isinstance(event, MediaPacket) and event.kind is MediaKind.VIDEO:
                    if event.is_sequence_header:
                        self.headers[event.stream_id] = event
                    elif event.is_key_frame and event.stream_id in self.headers:
                        events.append(self.headers[event.stream_id])
                elif isinstance(event, StreamEnded):
                    self.headers.pop(event.stream_id, None)
                events.append(event)
            await outbox.send(events)


@define(eq=False)
class FillsAGapOfAnEndedStream:
    """It repeats the last picture of a stream that is silent, also when the stream has ended."""

    flow: Flow = field(default=Flow.REPLACES, init=False)
    last: MediaPacket | None = None

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events: Sequence[MediaEvent] = ()
            with trio.move_on_after(5):
                events = await inbox.receive()
            for event in events:
                if isinstance(event, MediaPacket) and event.is_key_frame and not event.is_sequence_header:
                    self.last = event
            if not events and self.last is not None:
                events = [self.last]
            await outbox.send(events)


@define(eq=False)
class SendsSoundBySide:
    """It has a channel for sound and one for all else, and a task behind each: what is sent when is left to luck."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        to_sound, sound = trio.open_memory_channel[MediaEvent](4)
        to_rest, rest = trio.open_memory_channel[MediaEvent](4)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.forward, sound, outbox)
            nursery.start_soon(self.forward, rest, outbox)
            task_status.started()
            while True:
                for event in await inbox.receive():
                    is_sound = isinstance(event, MediaPacket) and event.kind is MediaKind.AUDIO
                    await (to_sound if is_sound else to_rest).send(event)

    async def forward(self, events: "trio.MemoryReceiveChannel[MediaEvent]", outbox: Outbox) -> None:
        async for event in events:
            await outbox.send([event])


@define(eq=False)
class EndsStreamsBySide:
    """It tells of ends of streams over a channel of their own, so that an end may overtake the last media."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        to_media, media = trio.open_memory_channel[MediaEvent](1)
        to_ends, ends = trio.open_memory_channel[MediaEvent](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.forward, media, outbox)
            nursery.start_soon(self.forward, ends, outbox)
            task_status.started()
            while True:
                for event in await inbox.receive():
                    await trio.lowlevel.checkpoint()
                    await (to_ends if isinstance(event, StreamEnded) else to_media).send(event)
                    await trio.lowlevel.checkpoint()

    async def forward(self, events: "trio.MemoryReceiveChannel[MediaEvent]", outbox: Outbox) -> None:
        async for event in events:
            await outbox.send([event])
