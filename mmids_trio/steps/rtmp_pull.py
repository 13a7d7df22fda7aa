"""`rtmp_pull`: play a stream of another server over our own RTMP client, and bring it in."""

from collections.abc import Callable, Sequence
from math import inf

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.backoff import HEALTHY_AFTER_SECONDS, Backoff
from mmids_trio.config.converters import seconds, text
from mmids_trio.config.parameters import parameter
from mmids_trio.media.events import MediaEvent, StreamId, StreamStarted
from mmids_trio.media.flow import Flow
from mmids_trio.media.source_clock import SourceClock
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.views import SourceView, StreamNow
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.client.client import TO_PLAY, ClientFailed, OpenClient, explain, open_client
from mmids_trio.rtmp.ingest import media_events
from mmids_trio.rtmp.protocol.events import (
    ClientEvent,
    DataReceived,
    MediaReceived,
    MetadataReceived,
    RefusalReceived,
    StatusReceived,
    StreamEofReceived,
)
from mmids_trio.rtmp.protocol.urls import RtmpUrl, parse_rtmp_url
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_receive import LONGEST_GRACE
from mmids_trio.steps.stream_news import StreamNews
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()

SILENCE_SECONDS = 30.0
"""How long a source may send nothing at all, not even a ping, before it is called anew; as for publishers."""

ENDS = frozenset({"NetStream.Play.UnpublishNotify", "NetStream.Play.Complete"})
"""Status codes with which servers say that a stream is over."""

STOP = "NetStream.Play.Stop"
"""What a server says that stops sending, be the stream over or the server about to end."""


def source(value: str) -> RtmpUrl:
    """The URL of a stream, with its key. Raises `ValueError`."""
    url = parse_rtmp_url(value)
    if not url.key:
        raise ValueError("expected a URL with a stream key")
    return url


@define(eq=False)
class _Pulled:
    """The stream as later steps see it, over several connections to its source."""

    name: str
    context: StepContext
    outbox: Outbox
    grace_s: float
    stream_id: StreamId | None = field(default=None, init=False)
    ends_at: float = field(default=inf, init=False)
    """When it ends unless media come; for ever, while they do."""
    _count: int = field(default=0, init=False)
    _last_sent: float = field(default=0.0, init=False)
    _clock: SourceClock = field(factory=SourceClock, init=False)
    """Of the present connection's source."""

    async def send(self, media: Sequence[MediaReceived | MetadataReceived | DataReceived]) -> None:
        """Hand media on; the first of a connection begin the stream, or go on with it."""
        beginning: list[MediaEvent] = []
        if self.stream_id is None:
            self._count += 1
            self.stream_id = StreamId(f"{self.context.workflow}/{self.context.step_id}/{self._count}")
            beginning.append(StreamStarted(self.stream_id, self.name))
            self._clock = SourceClock()
        elif self.ends_at < inf:
            self._resume(self.stream_id)
            self._clock = SourceClock()
        self.ends_at, self._last_sent = inf, trio.current_time()
        events = [event for part in media for event in media_events(self.stream_id, part, self._clock)]
        await self.outbox.send([*beginning, *events])

    def _resume(self, stream_id: StreamId) -> None:
        gap = round((trio.current_time() - self._last_sent) * 1000)
        self.outbox.restart_stream(stream_id, gap)
        StreamNews(self.context, stream_id, self.name).resumed(gap)

    def interrupt(self) -> None:
        """The connection is lost."""
        if self.stream_id is None or self.ends_at < inf:
            return
        if not self.grace_s:
            self.end()
            return
        self.ends_at = trio.current_time() + self.grace_s
        StreamNews(self.context, self.stream_id, self.name).interrupted(self.grace_s)

    def now(self) -> StreamNow:
        """How it is, for who lists streams."""
        left = self.ends_at - trio.current_time()
        return StreamNow("live") if left == inf else StreamNow("interrupted", max(left, 0.0))

    def end(self) -> None:
        """The source says that it is over, or nobody believes in it any more."""
        if self.stream_id is not None:
            self.outbox.end_stream(self.stream_id)
        self.stream_id, self.ends_at = None, inf


@define(eq=False)
class _Puller:
    """Calls the source again and again."""

    url: RtmpUrl
    pulled: _Pulled
    dialer: Dialer
    backoff: Backoff
    rejections: RejectCounters
    state: str = field(default="connecting", init=False)
    last_error: str | None = field(default=None, init=False)
    _alarm: trio.CancelScope = field(factory=trio.CancelScope, init=False)

    @property
    def source(self) -> SourceView:
        """Where the stream comes from, for who lists streams."""
        url = self.url
        return SourceView(None, "rtmps" if url.tls else "rtmp", url.host, url.port, "", location=str(url))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_what_is_overdue)
                while True:
                    await self._call()
        finally:
            self.pulled.end()

    async def _end_what_is_overdue(self) -> None:
        """A task of its own: that the stream is over is no reason to call its source any sooner."""
        while True:
            with trio.CancelScope(deadline=self.pulled.ends_at) as self._alarm:
                await trio.sleep_forever()
            if trio.current_time() >= self.pulled.ends_at:
                self.pulled.end()

    async def _call(self) -> None:
        """One connection, and the wait for the next."""
        self.state = "connecting"
        began = trio.current_time()
        try:
            client = await open_client(self.dialer, self.url, self.url.key, TO_PLAY, self.rejections)
            try:
                await self._read(client)
            finally:
                client.close()
        except ClientFailed as error:
            if trio.current_time() - began >= HEALTHY_AFTER_SECONDS:
                self.backoff.reset()
            await self._wait(str(error))

    async def _wait(self, reason: str) -> None:
        self.state, self.last_error = "waiting", reason
        self._interrupt()
        delay = self.backoff.next_delay()
        log.warning("source is down", source=str(self.url), reason=reason, retry_in=round(delay, 1))
        await trio.sleep(delay)

    def _interrupt(self) -> None:
        self.pulled.interrupt()
        self._alarm.deadline = self.pulled.ends_at

    async def _read(self, client: OpenClient) -> None:
        self.state = "playing"
        log.info("source is up", source=str(self.url))
        while True:
            with trio.move_on_after(SILENCE_SECONDS) as patience:
                events = await client.next_events()
            if patience.cancelled_caught:
                raise ClientFailed(f"it was silent for {SILENCE_SECONDS:.0f} s")
            await self._take(events)
            with trio.move_on_after(SILENCE_SECONDS) as patience:
                await client.reply()
            if patience.cancelled_caught:
                raise ClientFailed(f"it took nothing for {SILENCE_SECONDS:.0f} s")

    async def _take(self, events: Sequence[ClientEvent]) -> None:
        media: list[MediaReceived | MetadataReceived | DataReceived] = []
        for event in events:
            if isinstance(event, (MediaReceived, MetadataReceived, DataReceived)):
                media.append(event)
            elif _is_end(event):
                await self._send(media)
                media = []
                self.pulled.end()
            elif isinstance(event, StatusReceived) and event.code == STOP:
                await self._send(media)
                media = []
                self._interrupt()
            elif isinstance(event, RefusalReceived):
                raise ClientFailed(explain(event, (self.url.key, self.url.password)))
        await self._send(media)

    async def _send(self, media: Sequence[MediaReceived | MetadataReceived | DataReceived]) -> None:
        if media:
            self._alarm.deadline = inf
            await self.pulled.send(media)

    def describe(self) -> Sequence[StreamStatus]:
        """The one stream: how the connection is doing."""
        left = self.pulled.ends_at - trio.current_time()
        return [
            StreamStatus(
                self.pulled.name,
                f"{self.state} ({self.url})",
                state="interrupted" if left < inf else self.state,
                seconds_left=max(left, 0.0) if left < inf else None,
                last_error=self.last_error,
            )
        ]


def _is_end(event: ClientEvent) -> bool:
    return isinstance(event, StreamEofReceived) or (isinstance(event, StatusReceived) and event.code in ENDS)


@frozen
class RtmpPull:
    """See the module."""

    url: RtmpUrl
    name: str
    grace_s: float
    dialer: Dialer
    context: StepContext
    random: Callable[[], float]
    rejections: RejectCounters
    flow: Flow = field(default=Flow.PRODUCES, init=False)

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Ready at once; a source that ends or does not answer is called again."""
        pulled = _Pulled(self.name, self.context, outbox, self.grace_s)
        puller = _Puller(self.url, pulled, self.dialer, Backoff(self.random), self.rejections)
        self.context.show_streams(puller.describe)
        self.context.show_sources(lambda _started: puller.source, lambda _stream_id: pulled.now())
        task_status.started()
        await puller.run()


@frozen
class RtmpPullParameters:
    """Of `rtmp_pull`."""

    location: RtmpUrl = parameter(source)
    stream_name: str = parameter(text)
    grace_s: float = parameter(seconds(0, LONGEST_GRACE), name="grace", default=0.0)


def rtmp_pull(dialer: Dialer, random: Callable[[], float], rejections: RejectCounters) -> StepType:
    """The kind of step. `random`: numbers from 0 to 1, for the jitter. `rejections`: what sources are counted in."""

    def build(parameters: RtmpPullParameters, context: StepContext) -> Step:
        name, grace_s = parameters.stream_name, parameters.grace_s
        return RtmpPull(parameters.location, name, grace_s, dialer, context, random, rejections)

    return StepType("rtmp_pull", RtmpPullParameters, build)
