"""Steps that wait wrongly: for what has been, without an end, or without letting others run."""

import time

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.workflow.step import Inbox, Outbox

BLOCKS_S = 0.12


@define(eq=False)
class LosesAWakeUp:
    """It looks whether there is something to send, and begins to wait a moment later: what comes in between does not
    wake it."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    waiting: list[MediaEvent] = field(factory=list)
    has_come: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)
    has_gone: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.collect, inbox)
            task_status.started()
            while True:
                if not self.waiting:
                    await trio.lowlevel.checkpoint()
                    await self.has_come.park()
                events, self.waiting = self.waiting, []
                self.has_gone.unpark()
                await outbox.send(events)

    async def collect(self, inbox: Inbox) -> None:
        while True:
            events = await inbox.receive()
            while self.waiting:
                await self.has_gone.park()
            self.waiting += events
            self.has_come.unpark()


@define(eq=False)
class IsNeverReady:
    """It never calls `started()`."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        while True:
            await outbox.send(await inbox.receive())


@define(eq=False)
class Spins:
    """It does not wait for the next events but asks for them again and again."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    waiting: list[MediaEvent] = field(factory=list)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.collect, inbox)
            task_status.started()
            while True:
                while not self.waiting:  # that is what is wrong
                    await trio.lowlevel.checkpoint()
                events, self.waiting = self.waiting, []
                await outbox.send(events)

    async def collect(self, inbox: Inbox) -> None:
        while True:
            self.waiting += await inbox.receive()


@define(eq=False)
class Blocks:
    """It keeps the whole server waiting while a stream starts."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            if any(isinstance(event, StreamStarted) for event in events):
                time.sleep(BLOCKS_S)  # noqa: ASYNC251  # that is what is wrong
            await outbox.send(events)


@define(eq=False)
class SwallowsItsCancellation:
    """It takes its cancellation for the end of its work, and returns."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            while True:
                await outbox.send(await inbox.receive())
        except trio.Cancelled:
            return


@define(eq=False)
class ShieldsItselfForEver:
    """At its end it waits for an answer that need not come, with a shield that has no deadline."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    answer: trio.Event = field(factory=trio.Event)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            while True:
                await outbox.send(await inbox.receive())
        finally:
            with trio.CancelScope(shield=True):
                await self.answer.wait()


@define(eq=False)
class WaitsEverLonger:
    """It waits a moment before it sends, and a little longer each time."""

    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    patience: float = 0.01

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            events = await inbox.receive()
            await trio.sleep(self.patience)
            self.patience += 0.002
            await outbox.send(events)
