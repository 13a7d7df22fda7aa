"""Steps that lose or repeat what they have in hand when something else happens at that moment."""

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamMetadata
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.step import Inbox, Outbox


@define(eq=False)
class GivesUpSending:
    """Its timeout stands around `send`, too: what it could not send in time is gone."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            with trio.move_on_after(5):
                await outbox.send(await inbox.receive())


@define(eq=False)
class FlushesTwice:
    """Two tasks look whether there is something to send, send it, and only then forget it."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    waiting: list[MediaEvent] = field(factory=list)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.flush_now_and_then, outbox)
            task_status.started()
            while True:
                self.waiting += await inbox.receive()
                await self.flush(outbox)

    async def flush_now_and_then(self, outbox: Outbox) -> None:
        while True:
            await trio.sleep(2)
            await self.flush(outbox)

    async def flush(self, outbox: Outbox) -> None:
        if self.waiting:
            await outbox.send(list(self.waiting))
            self.waiting.clear()


@define(eq=False)
class RestartsItsWorker:
    """For new metadata it cancels its worker and starts another; what the old one had in hand is lost."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    worker: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        to_worker, events = trio.open_memory_channel[MediaEvent](8)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_working, events, outbox)
            task_status.started()
            while True:
                for event in await inbox.receive():
                    if isinstance(event, StreamMetadata):
                        self.worker.cancel()
                    await to_worker.send(event)

    async def keep_working(self, events: "trio.MemoryReceiveChannel[MediaEvent]", outbox: Outbox) -> None:
        while True:
            with trio.CancelScope() as self.worker:
                async for event in events:
                    await outbox.send([event])


@define(eq=False)
class QueuesWithoutEnd:
    """Between reading and sending it has a queue that takes whatever comes."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        to_sender, waiting = trio.open_memory_channel[MediaEvent](float("inf"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.forward, waiting, outbox)
            task_status.started()
            while True:
                for event in await inbox.receive():
                    to_sender.send_nowait(event)

    async def forward(self, waiting: "trio.MemoryReceiveChannel[MediaEvent]", outbox: Outbox) -> None:
        async for event in waiting:
            await outbox.send([event])
