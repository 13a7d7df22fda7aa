"""`rtmp_receive`: take in what RTMP publishers send. Each publisher is a stream named by its stream key."""

from typing import cast

import trio
from attrs import field, frozen

from mmids_trio.media.flow import Flow
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.access import PublishAccess
from mmids_trio.steps.approval import Reactor, Reactors, find_reactor
from mmids_trio.steps.parameters import Parameter, Values, one_of, seconds, secret
from mmids_trio.steps.publishers import OnBusy, Publishers
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_parameters import RTMP_PARAMETERS, RtmpPorts, registration, rtmp_conflicts
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

LONGEST_GRACE = 86_400
"""Seconds in a day; who is away for longer starts a new show."""

PARAMETERS = (
    *RTMP_PARAMETERS,
    Parameter("on_busy", one_of(*(choice.value for choice in OnBusy)), default=OnBusy.REFUSE.value),
    Parameter("grace", seconds(0, LONGEST_GRACE), default=0.0),
    Parameter("stall_after", seconds(0, LONGEST_GRACE), default=0.0),
    secret("publish_token"),
)


@frozen
class RtmpReceive:
    """See the module."""

    registration: Registration
    server: RtmpPorts
    reactor: Reactor | None
    on_busy: OnBusy
    grace: float
    access: PublishAccess
    stall_after: float
    context: StepContext
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        publishers = Publishers(
            self.context, outbox, self.reactor, self.on_busy, self.grace, self.access, self.stall_after
        )
        self.context.show_streams(publishers.describe)
        self.context.show_clients(publishers.count)
        self.context.show_counts(publishers.counts)
        async with self.server.serve(self.registration, self.context, publishers):
            task_status.started()
            try:
                await publishers.end_overdue()
            finally:
                publishers.close()


def rtmp_receive(server: RtmpPorts, reactors: Reactors) -> StepType:
    """The kind of step, on a server."""

    def build(values: Values, context: StepContext) -> Step:
        return RtmpReceive(
            registration(Role.PUBLISH, values),
            server,
            find_reactor(values, reactors),
            OnBusy(values["on_busy"]),
            cast(float, values["grace"]),
            PublishAccess(cast(str | None, values["publish_token"])),
            cast(float, values["stall_after"]),
            context,
        )

    return StepType("rtmp_receive", PARAMETERS, build, conflicts=rtmp_conflicts(reactors))
