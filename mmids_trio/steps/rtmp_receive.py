"""`rtmp_receive`: take in what RTMP publishers send. Each publisher is a stream named by its stream key."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from math import inf

import trio
from attrs import field, frozen

from mmids_trio.config.converters import choice, seconds, whole_number
from mmids_trio.config.parameters import Secret, flag, parameter, secret_parameter
from mmids_trio.config.settings import MOST_STREAMS
from mmids_trio.guards.guards import Guards
from mmids_trio.media.flow import Flow
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rtmp.server.endpoints import Service
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.approval import KnownReactors, PublishAccess, find_reactor
from mmids_trio.steps.claimed_keys import GRACE_SECONDS, ClaimedKeys
from mmids_trio.steps.publishers import OnBusy, Publishers, PublishTerms
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_parameters import Gate, RtmpParameters, RtmpPorts, cluster_problems, rtmp_conflicts
from mmids_trio.steps.stream_room import StreamRoom
from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, Step, StepContext

LONGEST_GRACE = 86_400
"""Seconds in a day; who is away for longer starts a new show."""


@frozen
class ReceiveParameters(RtmpParameters):
    """Of `rtmp_receive`."""

    on_busy: OnBusy = parameter(choice({word.value: word for word in OnBusy}), default=OnBusy.REFUSE, in_place=True)
    grace_s: float | None = parameter(seconds(0, LONGEST_GRACE), name="grace", default=None, in_place=True)
    stall_after_s: float = parameter(seconds(0, LONGEST_GRACE), name="stall_after", default=0.0, in_place=True)
    publish_token: Secret | None = secret_parameter(default=None, in_place=True)
    max_streams: int | None = parameter(whole_number(1, MOST_STREAMS), default=None)
    cluster: bool = flag()

    @property
    def grace(self) -> float:
        """As it is given, or as it is usual."""
        return (GRACE_SECONDS if self.cluster else 0.0) if self.grace_s is None else self.grace_s

    def terms(self, reactors: KnownReactors, guards: Guards) -> PublishTerms:
        """What may change while publishers are here. Raises `StepError` for a reactor that is gone."""
        return PublishTerms(
            find_reactor(self.reactor, reactors),
            self.on_busy,
            self.grace,
            PublishAccess(self.publish_token, guards.of_step(self.auth_url)),
            self.stall_after_s,
        )


@frozen
class RtmpReceive:
    """See the module."""

    registration: Registration
    server: RtmpPorts
    reactors: KnownReactors
    guards: Guards
    terms: PublishTerms
    max_streams: float
    room: StreamRoom
    on_air: OnAir
    claimed: ClaimedKeys | None
    context: StepContext
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        terms = self.terms
        publishers = Publishers(
            self.context,
            outbox,
            terms.reactor,
            terms.on_busy,
            terms.grace,
            terms.access,
            terms.stall_after,
            self.max_streams,
            self.room,
            Gate(self.registration, self.server, "rtmps" if self.registration.tls else "rtmp").request,
            self.on_air,
            self.claimed,
        )
        self.context.show_streams(publishers.describe)
        self.context.show_clients(publishers.count)
        self.context.show_counts(publishers.counts)
        async with self.server.serve(self.registration, self.context, publishers) as service:
            self.context.accept_parameters(
                partial(self._change, publishers, service),
                lambda parameters: publishers.count_excluded(parameters.rules),
            )
            task_status.started()
            try:
                await publishers.end_overdue()
            finally:
                publishers.close()

    def _change(self, publishers: Publishers, service: Service, parameters: ReceiveParameters) -> ChangeInPlace:
        """See `StepContext.accept_parameters`."""
        terms = parameters.terms(self.reactors, self.guards)

        def take() -> Callable[[], None]:
            undo = ExitStack()
            undo.callback(service.take_rules(parameters.rules))
            undo.callback(publishers.take_terms(terms))
            return undo.close

        return ChangeInPlace(take, service.dismiss_excluded)


def rtmp_receive(  # noqa: PLR0917  (what a server has, once)
    server: RtmpPorts,
    reactors: KnownReactors,
    room: StreamRoom,
    on_air: OnAir,
    guards: Guards,
    claimed: ClaimedKeys | None,
) -> StepType:
    """The kind of step, on a server that has `room` for streams and shows them `on_air`.

    `claimed`: where keys are claimed, if it is in a cluster.
    """

    def problems(parameters: ReceiveParameters) -> Iterable[str]:
        yield from rtmp_conflicts(reactors)(parameters)
        yield from cluster_problems(parameters.cluster, claimed)

    def build(parameters: ReceiveParameters, context: StepContext) -> Step:
        return RtmpReceive(
            parameters.registration(Role.PUBLISH),
            server,
            reactors,
            guards,
            parameters.terms(reactors, guards),
            parameters.max_streams or inf,
            room,
            on_air,
            claimed if parameters.cluster else None,
            context,
        )

    return StepType(
        "rtmp_receive",
        ReceiveParameters,
        build,
        conflicts=problems,
        announce=lambda parameters: server.expect(parameters.registration(Role.PUBLISH)),
        keys=("stream_key",),
    )
