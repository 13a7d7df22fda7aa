"""One target of a pushed stream: a connection to another server, which the fan-out sends to as to a player.

So all targets of a stream share one log of rendered bytes; one that is slow jumps to a later key frame for itself
alone, one that does not keep up is given up and connected anew.  Here is only what a player has not: the other side
has to be called, and tried again.
"""

from collections.abc import Callable

import structlog
import trio
from attrs import define, field

from mmids_trio.backoff import HEALTHY_AFTER_SECONDS, Backoff
from mmids_trio.fanout.channel import Channel
from mmids_trio.fanout.output import Output
from mmids_trio.fanout.subscriber import Subscriber
from mmids_trio.net.tls import Dialer
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.client.client import TO_PUBLISH, ClientFailed, OpenClient, explain, open_client
from mmids_trio.rtmp.protocol.client_connection import ClientPhase
from mmids_trio.rtmp.protocol.events import RefusalReceived
from mmids_trio.rtmp.protocol.urls import RtmpUrl
from mmids_trio.rtmp.rendering import for_message_stream

log = structlog.get_logger()

GOODBYE_SECONDS = 2.0
"""What the rest of a stream and the last words to a target may take."""

WINDOW_SECONDS = 2.0
"""Long enough to hold a key frame and what follows it, short enough to show that something has stopped."""


@define
class RateMeter:
    """The rate over the last whole window; 0 when nothing was noted for two."""

    _since: float | None = None
    _total_then: int = 0
    _rate: float = 0.0

    def note(self, now: float, total_bytes: int) -> None:
        """`total_bytes` had gone out by `now` (seconds on any clock that does not go back)."""
        if self._since is None:
            self._since, self._total_then = now, total_bytes
        elif now - self._since >= WINDOW_SECONDS:
            self._rate = 8 * (total_bytes - self._total_then) / (now - self._since)
            self._since, self._total_then = now, total_bytes

    def bits_per_second(self, now: float) -> int:
        """As of now."""
        is_fresh = self._since is not None and now - self._since <= 2 * WINDOW_SECONDS
        return round(self._rate) if is_fresh else 0


@define(eq=False, kw_only=True)
class PushTarget:
    """One target of one stream, from the stream's start to its end."""

    url: RtmpUrl
    key: str
    channel: Channel
    """What it gets; the owner feeds it, and ends its stream before `finish`."""
    dialer: Dialer
    backoff: Backoff
    rejections: RejectCounters
    on_up: Callable[[], None]
    on_down: Callable[[str], None]
    state: str = field(default="connecting", init=False)
    """`connecting`, `publishing`, or `waiting` (to try again)."""
    last_error: str | None = field(default=None, init=False)
    rate: RateMeter = field(factory=RateMeter, init=False)
    _subscriber: Subscriber | None = field(default=None, init=False)
    _dropped_before: int = field(default=0, init=False)
    _reason: str = field(default="", init=False)
    _is_down: bool = field(default=False, init=False)
    _is_over: trio.Event = field(factory=trio.Event, init=False)

    @property
    def dropped_groups(self) -> int:
        """How often it was too slow, over all connections."""
        return self._dropped_before + (self._subscriber.skips if self._subscriber else 0)

    def bitrate(self) -> int:
        """Bits a second that it took lately."""
        return self.rate.bits_per_second(trio.current_time())

    def note_progress(self) -> None:
        """The channel has been sent to: measure."""
        if self._subscriber is not None:
            self.rate.note(trio.current_time(), self._subscriber.bytes_sent)

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called."""
        return self._is_over.is_set()

    def finish(self) -> None:
        """The stream is over: send the rest, say goodbye, end."""
        self._is_over.set()

    async def run(self) -> None:
        """Until `finish`, or cancellation."""
        while not self._is_over.is_set():
            self.state = "connecting"
            try:
                await self._publish()
            except ClientFailed as error:
                await self._wait(str(error))

    async def _wait(self, reason: str) -> None:
        self.state, self.last_error = "waiting", reason
        delay = self.backoff.next_delay()
        log.warning("target is down", target=str(self.url), reason=reason, retry_in=round(delay, 1))
        if not self._is_down:
            self.on_down(reason)
        self._is_down = True
        with trio.move_on_after(delay):
            await self._is_over.wait()

    async def _publish(self) -> None:
        client = await open_client(self.dialer, self.url, self.key, TO_PUBLISH, self.rejections)
        self._subscriber = subscriber = Subscriber(Output(client.transport))
        began = trio.current_time()
        try:
            await self._feed(client, subscriber)
        finally:
            await self._say_goodbye(client, subscriber)
            self._subscriber = None
            self._dropped_before += subscriber.skips
            if trio.current_time() - began >= HEALTHY_AFTER_SECONDS:
                self.backoff.reset()
        if not self._is_over.is_set():
            raise ClientFailed(self._reason)

    async def _feed(self, client: OpenClient, subscriber: Subscriber) -> None:
        """Until the stream is over, or the connection."""
        self.rate = RateMeter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, subscriber.output, nursery.cancel_scope)
            nursery.start_soon(self._listen, client, subscriber.output, nursery.cancel_scope)
            self.channel.add(subscriber, for_message_stream(client.stream))
            self.state = "publishing"
            log.info("target is up", target=str(self.url))
            self._is_down = False
            self.on_up()
            await self._is_over.wait()
            nursery.cancel_scope.cancel()

    async def _send(self, output: Output, scope: trio.CancelScope) -> None:
        end = await output.run()
        self._reason = end.value
        scope.cancel()

    async def _listen(self, client: OpenClient, output: Output, scope: trio.CancelScope) -> None:
        """Answer what wants an answer, and notice the end."""
        try:
            while True:
                for event in await client.next_events():
                    if isinstance(event, RefusalReceived):
                        raise ClientFailed(explain(event, (self.key, self.url.password)))
                if data := client.connection.data_to_send():
                    output.write(data)
        except ClientFailed as error:
            self._reason = str(error)
            scope.cancel()

    async def _say_goodbye(self, client: OpenClient, subscriber: Subscriber) -> None:
        """The rest of a stream that is over, then the command that ends it, as far as the target takes it in time."""
        try:
            with trio.CancelScope(deadline=trio.current_time() + GOODBYE_SECONDS, shield=True):
                if self._is_over.is_set():
                    await subscriber.output.flush()
                self.channel.discard(subscriber)
                if client.connection.phase is ClientPhase.PUBLISHING:
                    client.connection.unpublish()
                    subscriber.output.write(client.connection.data_to_send())
                    await subscriber.output.flush()
        finally:
            self.channel.discard(subscriber)
            client.close()
