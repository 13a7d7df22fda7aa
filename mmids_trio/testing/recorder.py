"""A step that notes what reaches it: what a test of a workflow looks at.

Apart from the harness because it is a step like any other, and works in a server that no harness runs.
"""

import trio
from attrs import define, field

from mmids_trio.config.parameters import NoParameters
from mmids_trio.media.events import MediaEvent, MediaPacket
from mmids_trio.media.flow import Flow
from mmids_trio.steps.registry import StepType
from mmids_trio.workflow.step import Inbox, Outbox


@define(eq=False)
class Recorder:
    """A step that notes what reaches it and passes it on; while it is held, it takes nothing more.

    One object is the step of every workflow that uses `step_type`.
    """

    events: list[MediaEvent] = field(factory=list)
    flow: Flow = field(default=Flow.PASSES_ON, init=False)
    _is_held: bool = field(default=False, init=False)
    _released: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def packets(self) -> list[MediaPacket]:
        """The media among the events."""
        return [event for event in self.events if isinstance(event, MediaPacket)]

    def step_type(self, name: str = "record") -> StepType:
        """For `Harness(more_steps=...)`: a kind of step without parameters."""
        return StepType(name, NoParameters, lambda _parameters, _context: self)

    def hold(self) -> None:
        """Take nothing more: the workflow backs up to its publishers' sockets."""
        self._is_held = True

    def release(self) -> None:
        """Go on."""
        self._is_held = False
        self._released.unpark_all()

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """See `workflow.step.Step`."""
        task_status.started()
        while True:
            events = await inbox.receive()
            while self._is_held:
                await self._released.park()
            self.events += events
            await outbox.send(events)
