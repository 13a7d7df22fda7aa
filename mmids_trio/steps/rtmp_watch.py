"""`rtmp_watch`: serve RTMP players what passes by, and pass it on."""

from collections.abc import Callable
from typing import cast

import trio
from attrs import field, frozen

from mmids_trio.fanout.channel import Channel
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.catalog import STEP_WATCHERS
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, Client, Viewing
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.steps.access import PLAY_DENIED, PlayAccess
from mmids_trio.steps.approval import Reactor, Reactors, Release, approved, find_reactor
from mmids_trio.steps.parameters import Values, secret
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_audience import Audience
from mmids_trio.steps.rtmp_parameters import RTMP_PARAMETERS, RtmpPorts, registration, rtmp_conflicts
from mmids_trio.steps.send_scheduler import SendScheduler
from mmids_trio.steps.sent_counts import sent_counts
from mmids_trio.steps.watch_options import WATCH_PARAMETERS, WatchOptions
from mmids_trio.workflow.status import Clients
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

USUAL = WatchOptions()

PARAMETERS = (*RTMP_PARAMETERS, secret("play_key"), *WATCH_PARAMETERS)


@frozen(eq=False)
class _Viewing:
    """See `rtmp.server.endpoints.Viewing`."""

    channel: Channel
    end: Release


@frozen(eq=False)
class Watchers:
    """Lets watchers in; see `rtmp.server.endpoints.WatchHandler`."""

    audience: Audience
    reactor: Reactor | None
    access: PlayAccess = field(factory=PlayAccess)

    async def watch(self, key: str, client: Client, query: Query = NO_QUERY) -> Viewing:
        """Let a watcher in, once it is approved. Its token has to be good when it begins, and not until it ends."""
        self.access.check(key, query)
        release = await approved(self.reactor, key, client.dismiss, PLAY_DENIED)
        return _Viewing(self.audience.channel(key), release)


@frozen
class RtmpWatch:
    """See the module."""

    registration: Registration
    options: WatchOptions
    server: RtmpPorts
    reactor: Reactor | None
    access: PlayAccess
    context: StepContext
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready when the port is open and the registration reserved."""
        audience = Audience(self.registration.key, self.options)
        scheduler = SendScheduler(audience, self.options.send_interval / 1000)
        self.context.show_clients(lambda: Clients(watchers=audience.size))
        self.context.show_counts(
            lambda: {
                (STEP_WATCHERS, ()): audience.size,
                **sent_counts(audience.counters()),
                **scheduler.counts(),
            }
        )
        watchers = Watchers(audience, self.reactor, self.access)
        async with self.server.serve(self.registration, self.context, watchers):
            task_status.started()
            while True:
                events = await scheduler.next_events(inbox)
                await scheduler.feed_and_send(events)
                if events:
                    await outbox.send(events)


def rtmp_watch(
    server: RtmpPorts, reactors: Reactors, now: Callable[[], float], defaults: WatchOptions = USUAL
) -> StepType:
    """The kind of step, on a server whose settings are `defaults`.

    `now`: Unix time in seconds, against which play tokens expire.
    """

    def build(values: Values, context: StepContext) -> Step:
        access = PlayAccess(cast(str | None, values["play_key"]), now)
        options, reactor = defaults.with_values(values), find_reactor(values, reactors)
        return RtmpWatch(registration(Role.WATCH, values), options, server, reactor, access, context)

    return StepType("rtmp_watch", PARAMETERS, build, conflicts=rtmp_conflicts(reactors))
