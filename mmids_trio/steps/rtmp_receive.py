"""`rtmp_receive`: take in what RTMP publishers send. Each publisher is a stream named by its stream key."""

from collections.abc import Sequence

import trio
from attrs import define, field, frozen

from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.rtmp.endpoints import Client, Publication, Refused
from mmids_trio.rtmp.registrations import Registration, Role
from mmids_trio.steps.approval import Reactor, Reactors, Release, approved, find_reactor
from mmids_trio.steps.base import Inbox, Outbox, Step, StepContext
from mmids_trio.steps.parameters import Values
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_parameters import RTMP_PARAMETERS, RtmpPorts, registration, rtmp_conflicts
from mmids_trio.workflow.status import Clients


@define(eq=False)
class Publishers:
    """The live publishers of one step; see `rtmp.endpoints.PublishHandler`.

    Stream ids are `<workflow>/<step id>/<number>`, so the same events in the same order have the same ids.
    """

    prefix: str
    outbox: Outbox
    reactor: Reactor | None = None
    _live: set[str] = field(factory=set, init=False)
    _count: int = field(default=0, init=False)

    def count(self) -> Clients:
        """How many there are."""
        return Clients(publishers=len(self._live))

    async def publish(self, key: str, client: Client) -> Publication:
        """Start the stream of a publisher of `key`; refuses a second one while the first is live."""
        self._refuse_if_live(key)
        release = await approved(self.reactor, key, client, "NetStream.Publish.BadName")
        publication: _Publication | None = None
        try:
            self._refuse_if_live(key)
            self._live.add(key)
            self._count += 1
            publication = _Publication(StreamId(f"{self.prefix}/{self._count}"), key, self, release)
            await self.outbox.send([StreamStarted(publication.stream_id, key)])
        except BaseException:
            release() if publication is None else publication.end()
            raise
        return publication

    def _refuse_if_live(self, key: str) -> None:
        if key in self._live:
            raise Refused("NetStream.Publish.BadName", f"stream key '{key}' is being published already")

    def ended(self, publication: "_Publication") -> None:
        """Free the key, and let later steps know."""
        self._live.discard(publication.key)
        self.outbox.end_stream(publication.stream_id)


@define(eq=False)
class _Publication:
    """See `rtmp.endpoints.Publication`."""

    stream_id: StreamId
    key: str
    publishers: Publishers
    release: Release
    _has_ended: bool = field(default=False, init=False)

    async def send(self, events: Sequence[MediaEvent]) -> None:
        await self.publishers.outbox.send(events)

    def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.publishers.ended(self)
            self.release()


@frozen
class RtmpReceive:
    """See the module."""

    registration: Registration
    server: RtmpPorts
    reactor: Reactor | None
    context: StepContext
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        publishers = Publishers(f"{self.context.workflow}/{self.context.step_id}", outbox, self.reactor)
        self.context.show_clients(publishers.count)
        async with self.server.serve(self.registration, self.context, publishers):
            task_status.started()
            await trio.sleep_forever()


def rtmp_receive(server: RtmpPorts, reactors: Reactors) -> StepType:
    """The kind of step, on a server."""

    def build(values: Values, context: StepContext) -> Step:
        return RtmpReceive(registration(Role.PUBLISH, values), server, find_reactor(values, reactors), context)

    return StepType("rtmp_receive", RTMP_PARAMETERS, build, conflicts=rtmp_conflicts(reactors))
