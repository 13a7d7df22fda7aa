"""`rtmp_push`: publish each stream, or one of them, to other servers over our own RTMP client, and pass it on."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.backoff import Backoff
from mmids_trio.config.converters import text
from mmids_trio.config.parameters import parameter
from mmids_trio.fanout.channel import Channel, ChannelCounters
from mmids_trio.media.events import (
    MediaEvent,
    MediaKind,
    MediaPacket,
    StreamEnded,
    StreamId,
    StreamMetadata,
    StreamStarted,
)
from mmids_trio.media.flow import Flow
from mmids_trio.media.tracks import TrackKey, is_of_main_track, remember_header
from mmids_trio.media_memory import MediaMemory, MediaOwner
from mmids_trio.metrics.catalog import STEP_TARGETS_DOWN, STEP_TARGETS_UP
from mmids_trio.metrics.counts import Counts
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.views import StreamWarning
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.client.pushing import PushTarget
from mmids_trio.rtmp.protocol.urls import RtmpUrl, parse_rtmp_url
from mmids_trio.rtmp.rendering import PublishRendering
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.send_scheduler import EVENTS_PER_PASS
from mmids_trio.steps.sent_counts import sent_counts
from mmids_trio.workflow.events import TargetDown, TargetUp
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import ChangeInPlace, Inbox, Outbox, Step, StepContext

log = structlog.get_logger()

MAX_TARGETS = 32
"""Targets of one step: more than there are platforms to stream to."""


SUCCESSION_SECONDS = 1.0
"""From the beginning of a session to that of the next one, which another codec has: a stream that changes its codec
with every picture must not cost a connection for each."""


def targets(value: str) -> tuple[RtmpUrl, ...]:
    """URLs, separated by commas (a comma within one is written `%2C`). Raises `ValueError`."""
    urls = tuple(parse_rtmp_url(url.strip()) for url in value.split(","))
    if len(urls) > MAX_TARGETS:
        raise ValueError(f"expected {MAX_TARGETS} targets at most")
    if len(set(urls)) < len(urls):
        raise ValueError("expected each target once")
    return urls


@define(eq=False)
class _Pushed:
    """What targets get of one stream while its codecs stay, and the targets.

    Another codec is another session: servers and platforms decide on one when a session begins.
    """

    started: StreamStarted
    channel: Channel
    owner: MediaOwner
    before: "_Pushed | None" = None
    """The session before, whose targets end before ours may begin; until they have."""
    targets: list[PushTarget] = field(factory=list)
    has_frames: bool = False
    metadata: StreamMetadata | None = None
    headers: dict[TrackKey, MediaPacket] = field(factory=dict)
    codecs: dict[MediaKind, str] = field(factory=dict)
    """Of the main tracks."""
    began_at: float = -inf
    is_over: trio.Event = field(factory=trio.Event)
    """Set when all targets have said goodbye."""

    def wants_another(self, packet: MediaPacket) -> bool:
        """Whether `packet` is of a codec that the targets were not told of."""
        if packet.codec is None or not is_of_main_track(packet):
            return False
        return self.has_frames and self.codecs.get(packet.kind, packet.codec) != packet.codec

    def known_without(self, kind: MediaKind) -> list[MediaEvent]:
        """What another session has to know when the codec of `kind` changes."""
        metadata: list[MediaEvent] = [] if self.metadata is None else [self.metadata]
        return [self.started, *metadata, *(header for header in self.headers.values() if header.kind is not kind)]

    def feed(self, event: MediaEvent) -> None:
        if isinstance(event, MediaPacket):
            if event.is_sequence_header:
                remember_header(self.headers, event)
            else:
                self.has_frames = True
            if event.codec is not None and is_of_main_track(event):
                self.codecs[event.kind] = event.codec
            self.channel.packet(event)
        elif isinstance(event, StreamMetadata):
            self.metadata = event
            self.channel.metadata(event.values)
        elif isinstance(event, StreamStarted):
            self.channel.begin_stream(self.owner)
        else:
            self.channel.end_stream()


@define(eq=False)
class Pushes:
    """All streams of a step and their targets, whose tasks run in `nursery`."""

    urls: Sequence[RtmpUrl]
    nursery: trio.Nursery
    dialer: Dialer
    context: StepContext
    random: Callable[[], float]
    rejections: RejectCounters
    memory: MediaMemory
    stream_name: str | None = None
    """The one that is pushed; `None`: each."""
    _live: dict[StreamId, _Pushed] = field(factory=dict, init=False)
    _targets: dict[PushTarget, StreamStarted] = field(factory=dict, init=False)
    """Those of streams that have ended as well, until they have said goodbye."""
    _pushed: dict[_Pushed, None] = field(factory=dict, init=False)
    """Streams that are live, or have a target that has not said goodbye."""
    _gone: ChannelCounters = field(factory=ChannelCounters, init=False)
    """Of all other streams."""

    async def feed_and_send(self, events: Sequence[MediaEvent]) -> None:
        """Send to all targets what they take at once."""
        touched: dict[_Pushed, None] = {}
        for event in events:
            if isinstance(event, StreamStarted) and self.stream_name in (None, event.stream_name):
                fresh = self._live[event.stream_id] = self._session(event)
                self._pushed[fresh] = None
            if (pushed := self._live.get(event.stream_id)) is None:
                continue
            if isinstance(event, MediaPacket) and pushed.wants_another(event):
                touched[pushed] = None
                pushed = self._begin_another(pushed, event.kind)
            pushed.feed(event)
            touched[pushed] = None
            if pushed.has_frames and not pushed.targets:
                self._start(pushed)
        for pushed in touched:
            await pushed.channel.send_pass()
            for target in pushed.targets:
                target.note_progress()
            if self._live.get(pushed.started.stream_id) is not pushed:
                self._finish(pushed)
        for event in events:
            if isinstance(event, StreamEnded) and (ended := self._live.pop(event.stream_id, None)):
                self._finish(ended)

    def _session(self, started: StreamStarted, before: _Pushed | None = None) -> _Pushed:
        channel = Channel(PublishRendering())
        channel.charge_to(self.memory)
        return _Pushed(started, channel, self.memory.owner_of(started.source_id), before)

    def _begin_another(self, pushed: _Pushed, kind: MediaKind) -> _Pushed:
        """A session for what comes now, with all that is known of the stream and still holds."""
        known = pushed.known_without(kind)
        pushed.feed(StreamEnded(pushed.started.stream_id))
        another = pushed
        if pushed.before is None:  # else nobody has been told of this session yet, and it may as well begin anew
            log.info("codec has changed, targets begin anew", stream=pushed.started.stream_name)
            another = self._live[pushed.started.stream_id] = self._session(pushed.started, before=pushed)
            self._pushed[another] = None
        another.codecs, another.headers = {}, {}
        for event in known:
            another.feed(event)
        return another

    def _finish(self, pushed: _Pushed) -> None:
        for target in pushed.targets:
            target.finish()
        self._forget_if_over(pushed)

    def _start(self, pushed: _Pushed) -> None:
        """Connect with the first frame: servers do not wait long for media."""
        name = pushed.started.stream_name
        if any(other.targets for other in self._live.values()) and any(url.key for url in self.urls):
            log.warning("several streams are pushed to one target", stream=name)
        pushed.began_at = trio.current_time()
        for url in self.urls:
            self._begin(url, pushed)

    # Other targets.

    def take_urls(self, urls: Sequence[RtmpUrl]) -> Callable[[], None]:
        """Push what begins from now on there; returns what takes that back."""
        before, self.urls = self.urls, urls
        return partial(setattr, self, "urls", before)

    def turn_to_other_targets(self) -> None:
        """End the sessions of targets that went, and begin those of targets that came; all others go on."""
        for pushed in self._live.values():
            there = {target.url for target in pushed.targets if not target.is_finished}
            for target in pushed.targets:
                if target.url not in self.urls:
                    target.finish()
            if there:  # else it has not begun, and will with all of them
                for url in self.urls:
                    if url not in there:
                        self._begin(url, pushed)

    def _begin(self, url: RtmpUrl, pushed: _Pushed) -> None:
        name = pushed.started.stream_name
        target = self._target(url, name, pushed.channel)
        pushed.targets.append(target)
        self._targets[target] = pushed.started
        self.nursery.start_soon(self._run, target, pushed, name)

    def _target(self, url: RtmpUrl, name: str, channel: Channel) -> PushTarget:
        def place() -> tuple[str, str, str, str]:
            return self.context.workflow, self.context.step_id, name, str(url)

        return PushTarget(
            url=url,
            key=url.key or name,
            channel=channel,
            dialer=self.dialer,
            backoff=Backoff(self.random),
            rejections=self.rejections,
            on_up=lambda: self.context.publish(TargetUp(*place())),
            on_down=lambda reason: self.context.publish(TargetDown(*place(), reason)),
        )

    async def _run(self, target: PushTarget, pushed: _Pushed, name: str) -> None:
        structlog.contextvars.bind_contextvars(stream=name)
        if (before := pushed.before) is not None:
            await before.is_over.wait()
            await trio.sleep_until(before.began_at + SUCCESSION_SECONDS)
            pushed.before, pushed.began_at = None, trio.current_time()
        await target.run()
        del self._targets[target]
        pushed.targets.remove(target)
        self._forget_if_over(pushed)

    def _forget_if_over(self, pushed: _Pushed) -> None:
        is_live = any(live is pushed for live in self._live.values())
        if pushed in self._pushed and not is_live and not any(target in self._targets for target in pushed.targets):
            pushed.is_over.set()
            del self._pushed[pushed]
            self._gone.add_channel(pushed.channel.counters())

    def counts(self) -> Counts:
        """See `StepContext.show_counts`."""
        sums = ChannelCounters()
        for counters in (self._gone, *(pushed.channel.counters() for pushed in self._pushed)):
            sums.add_channel(counters)
        up = sum(target.state == "publishing" for target in self._targets)
        return {
            **sent_counts(sums),
            (STEP_TARGETS_UP, ()): up,
            (STEP_TARGETS_DOWN, ()): len(self._targets) - up,
        }

    def troubles(self, stream_id: StreamId) -> Iterable[StreamWarning]:
        """Each target of a stream that does not take it."""
        pushed = self._live.get(stream_id)
        for target in () if pushed is None else pushed.targets:
            if target.state != "publishing" and target.last_error is not None:
                text = f"target {target.url} takes nothing: {target.last_error}"
                remedy = "check its address and key, and whether the platform expects the stream; it is tried again"
                yield StreamWarning("target_refuses", text, remedy)

    def describe(self) -> Sequence[StreamStatus]:
        """Each target of each stream."""
        return [
            StreamStatus(
                started.stream_name,
                f"{target.state} ({target.url})",
                state=target.state,
                target=str(target.url),
                bitrate=target.bitrate(),
                last_error=target.last_error,
                dropped_groups=target.dropped_groups,
            )
            for target, started in self._targets.items()
        ]


@frozen
class RtmpPush:
    """See the module."""

    urls: tuple[RtmpUrl, ...]
    dialer: Dialer
    context: StepContext
    random: Callable[[], float]
    rejections: RejectCounters
    memory: MediaMemory
    stream_name: str | None = None
    flow: Flow = field(default=Flow.PASSES_ON, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready at once; a target that does not answer is tried again for as long as streams last."""
        async with trio.open_nursery() as nursery:
            pushes = Pushes(
                urls=self.urls,
                nursery=nursery,
                dialer=self.dialer,
                context=self.context,
                random=self.random,
                rejections=self.rejections,
                memory=self.memory,
                stream_name=self.stream_name,
            )
            self.context.show_streams(pushes.describe)
            self.context.show_troubles(pushes.troubles)
            self.context.show_counts(pushes.counts)
            self.context.accept_parameters(
                lambda parameters: ChangeInPlace(
                    partial(pushes.take_urls, parameters.targets), pushes.turn_to_other_targets
                )
            )
            task_status.started()
            while True:
                events = await inbox.receive()
                for start in range(0, len(events), EVENTS_PER_PASS):
                    await pushes.feed_and_send(events[start : start + EVENTS_PER_PASS])
                await outbox.send(events)


@frozen
class RtmpPushParameters:
    """Of `rtmp_push`."""

    targets: tuple[RtmpUrl, ...] = parameter(targets, name="target", in_place=True)
    stream_name: str | None = parameter(text, default=None)


def rtmp_push(dialer: Dialer, random: Callable[[], float], rejections: RejectCounters, memory: MediaMemory) -> StepType:
    """The kind of step. `random`: numbers from 0 to 1, for the jitter.

    `rejections`: what targets are counted in. `memory`: what is charged for their logs.
    """

    def build(parameters: RtmpPushParameters, context: StepContext) -> Step:
        return RtmpPush(parameters.targets, dialer, context, random, rejections, memory, parameters.stream_name)

    return StepType("rtmp_push", RtmpPushParameters, build)
