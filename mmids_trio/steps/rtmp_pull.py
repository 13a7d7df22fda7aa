"""`rtmp_pull`: play a stream of another server over our own RTMP client, and bring it in."""

from collections.abc import Callable, Sequence

import structlog
import trio
from attrs import define, field, frozen

from mmids_trio.backoff import HEALTHY_AFTER_SECONDS, Backoff
from mmids_trio.config.converters import seconds, text
from mmids_trio.config.parameters import parameter
from mmids_trio.media.events import StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.views import SourceView
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.client.client import TO_PLAY, ClientFailed, open_client
from mmids_trio.rtmp.client.pulling import Pull, Received
from mmids_trio.rtmp.protocol.urls import RtmpUrl, parse_rtmp_url
from mmids_trio.steps.pulled_stream import PulledStream
from mmids_trio.steps.registry import StepType
from mmids_trio.steps.rtmp_receive import LONGEST_GRACE
from mmids_trio.workflow.status import StreamStatus
from mmids_trio.workflow.step import Inbox, Outbox, Step, StepContext

log = structlog.get_logger()


def source(value: str) -> RtmpUrl:
    """The URL of a stream, with its key. Raises `ValueError`."""
    url = parse_rtmp_url(value)
    if not url.key:
        raise ValueError("expected a URL with a stream key")
    return url


@define(eq=False)
class _Puller:
    """Calls the source again and again."""

    url: RtmpUrl
    pulled: PulledStream
    dialer: Dialer
    backoff: Backoff
    rejections: RejectCounters
    state: str = field(default="connecting", init=False)
    last_error: str | None = field(default=None, init=False)

    @property
    def source(self) -> SourceView:
        """Where the stream comes from, for who lists streams."""
        url = self.url
        return SourceView(None, "rtmps" if url.tls else "rtmp", url.host, url.port, "", location=str(url))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.pulled.end_overdue)
                while True:
                    await self._call()
        finally:
            self.pulled.end()

    async def _call(self) -> None:
        """One connection, and the wait for the next."""
        self.state = "connecting"
        began = trio.current_time()
        try:
            client = await open_client(self.dialer, self.url, self.url.key, TO_PLAY, self.rejections)
            try:
                self.state = "playing"
                log.info("source is up", source=str(self.url))
                await Pull(client, self, (self.url.key, self.url.password)).read()
            finally:
                client.close()
        except ClientFailed as error:
            if trio.current_time() - began >= HEALTHY_AFTER_SECONDS:
                self.backoff.reset()
            await self._wait(str(error))

    async def _wait(self, reason: str) -> None:
        self.state, self.last_error = "waiting", reason
        self.pulled.interrupt()
        delay = self.backoff.next_delay()
        log.warning("source is down", source=str(self.url), reason=reason, retry_in=round(delay, 1))
        await trio.sleep(delay)

    # What it says; see `rtmp.client.pulling.Puller`.

    async def take(self, media: Sequence[Received]) -> None:
        """Media have come."""
        await self.pulled.send(media)

    def over(self) -> None:
        """The stream is over."""
        self.pulled.end()

    def stopped(self) -> None:
        """It may come again."""
        self.pulled.interrupt()

    def describe(self) -> Sequence[StreamStatus]:
        """The one stream: how the connection is doing."""
        return [
            StreamStatus(
                self.pulled.name,
                f"{self.state} ({self.url})",
                state="interrupted" if self.pulled.is_interrupted else self.state,
                seconds_left=self.pulled.seconds_left,
                last_error=self.last_error,
            )
        ]


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
        place = f"{self.context.workflow}/{self.context.step_id}"
        pulled = PulledStream(
            self.name, lambda number: StreamId(f"{place}/{number}"), self.context, outbox, self.grace_s
        )
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
