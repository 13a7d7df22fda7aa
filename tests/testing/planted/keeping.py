"""Steps that keep what they had to let go of, or put it where nobody looks after it."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import trio
from attrs import define, field

from mmids_trio.errors import StepError
from mmids_trio.media.events import MediaPacket, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Inbox, Outbox
from tests.testing.planted.kit import planted


async def pass_on(inbox: Inbox, outbox: Outbox) -> None:
    """What a correct step does that leaves everything as it is."""
    while True:
        await outbox.send(await inbox.receive())


@define(eq=False)
class KeepsAFileOpen:
    """It closes its file behind its loop, where it never comes: it is cancelled."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        number = os.open(os.devnull, os.O_WRONLY)
        task_status.started()
        await pass_on(inbox, outbox)
        os.close(number)


@define(eq=False)
class StartsASystemTask:
    """It has its statistics made by a system task, which nobody ends."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        task_status.started()
        await pass_on(inbox, outbox)


@define(eq=False)
class RemembersEveryStream:
    """It counts the frames of each stream, and keeps the count when the stream has ended."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    frames: Counter[StreamId] = field(factory=Counter)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            self.frames.update(event.stream_id for event in events if isinstance(event, MediaPacket))
            await outbox.send(events)


@define(eq=False)
class Frames:
    """Of one stream; it can be asked for itself, so only the collector takes it away."""

    itself: object = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.itself = self


@define(eq=False)
class LeavesItToTheCollector:
    """What it knows of a stream stands in a table that forgets by itself: when Python happens to look for cycles."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    counts: WeakKeyDictionary[Frames, int] = field(factory=WeakKeyDictionary)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            self.counts.update({Frames(): 0 for event in events if isinstance(event, StreamStarted)})
            await outbox.send(events)


@define(eq=False)
class StartsATaskElsewhere:
    """It was given a nursery of the program's, and starts a task in there that outlives it."""

    nursery: trio.Nursery
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        self.nursery.start_soon(trio.sleep_forever)
        task_status.started()
        await pass_on(inbox, outbox)


@asynccontextmanager
async def with_a_nursery_of_the_program() -> AsyncIterator[StepType]:
    async with trio.open_nursery() as nursery:
        yield planted(lambda: StartsATaskElsewhere(nursery))
        nursery.cancel_scope.cancel()


@define(eq=False)
class KeepsItsName:
    """It takes a name that only one may have, and does not give it back when it is taken out of the workflow."""

    taken: set[str]
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        if "studio" in self.taken:
            raise StepError("the name studio is taken")
        self.taken.add("studio")
        task_status.started()
        await pass_on(inbox, outbox)
        self.taken.remove("studio")


@asynccontextmanager
async def with_names_of_the_program() -> AsyncIterator[StepType]:
    taken: set[str] = set()
    yield planted(lambda: KeepsItsName(taken))
