"""Watchers of a cluster without servers: real pulls over connections that are made up, and what they bring is checked.

A connection brings a frame every two seconds, of whoever publishes the key at the node that was called; it breaks,
falls silent and ends as a seed will have it.  Every frame says whose it is.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NoReturn, Protocol, cast

import pytest
import trio
from attrs import define, field, frozen

from mmids_trio.cluster.claims import StreamClaims
from mmids_trio.cluster.directory import StreamKey
from mmids_trio.media.events import MediaEvent, MediaPacket, StreamEnded, StreamId, StreamStarted
from mmids_trio.media.timeline import is_after, shifted
from mmids_trio.net.tls import Dialer
from mmids_trio.on_air.directory import OnAir
from mmids_trio.rejections import RejectCounters
from mmids_trio.rtmp.client.client import ClientFailed, Purpose
from mmids_trio.rtmp.client.pulling import Puller
from mmids_trio.rtmp.protocol.events import MediaReceived
from mmids_trio.rtmp.protocol.message import VIDEO, Message
from mmids_trio.rtmp.protocol.urls import RtmpUrl
from mmids_trio.steps import edge_pulls
from mmids_trio.steps.claimed_keys import GRACE_SECONDS
from mmids_trio.steps.edge_pulls import EdgePull, EdgePulls, Taker
from mmids_trio.testing.step_ends import FakeStepContext
from mmids_trio.workflow.links import ChannelInbox

FRAME_S = 2.0
"""From one frame to the next."""
BROKEN = 0.03
"""Share of frames in whose place a connection breaks."""
SLOW, SLOWEST_S = 0.2, 2.0
"""How often a watcher lets what is sent to it next lie, and how long."""
HEADER, KEY_FRAME = bytes.fromhex("17 00 000000"), bytes.fromhex("17 01 000000")


@frozen(eq=False)
class Show:
    """What a publisher sends. `number`: of no other; its time begins at `base` milliseconds."""

    number: int
    base: int
    began: float = field(factory=trio.current_time)

    def messages(self, *, first: bool) -> list[Message]:
        """What is sent now, on a connection that it is the first of, or not."""
        timestamp = shifted(self.base, round((trio.current_time() - self.began) * 1000))
        kinds = (HEADER, KEY_FRAME) if first else (KEY_FRAME,)
        return [Message(VIDEO, 1, timestamp, kind + str(self.number).encode(), 6) for kind in kinds]


class Shown(Protocol):
    """Somebody who publishes at a node."""

    @property
    def show(self) -> Show:
        """What."""

    @property
    def is_interrupted(self) -> bool:
        """Whether nothing comes of it now, and its node waits."""


@define(eq=False)
class Origins:
    """All nodes as those see them who pull. `at`: who publishes a key at a node, if anybody does."""

    at: Callable[[str, StreamKey], Shown | None]
    random: Random

    async def call(self, url: RtmpUrl) -> "Connection":
        """Get as far as playing. Raises `ClientFailed`."""
        await trio.sleep(self.random.uniform(0, 0.2))
        connection = Connection(self, url.host, StreamKey(url.app, url.key))
        if connection.source is None:
            raise ClientFailed("no stream of this node has that key")
        return connection


@define(eq=False)
class Connection:
    """Plays a key of a node."""

    origins: Origins
    node: str
    key: StreamKey

    @property
    def source(self) -> Shown | None:
        """Who publishes it there now."""
        return self.origins.at(self.node, self.key)

    def close(self) -> None:
        """Nobody wants it any more."""

    async def read(self, puller: Puller, silence_s: float) -> NoReturn:
        """See `Pull.read`."""
        before: Shown | None = None
        begun: Shown | None = None
        heard = trio.current_time()
        while True:
            await trio.sleep_until((trio.current_time() // FRAME_S + 1) * FRAME_S)
            source = self.source
            if before is not None and source is not before:
                if self.origins.random.random() < 0.5:
                    raise ClientFailed("the stream is over")
                puller.over()
            if source is None or source.is_interrupted:
                if trio.current_time() - heard >= silence_s:
                    raise ClientFailed("it was silent")
            elif self.origins.random.random() < BROKEN:
                raise ClientFailed("the connection broke")
            else:
                heard = trio.current_time()
                await puller.take([MediaReceived(1, source.show.messages(first=source is not begun))])
                begun = source
            before = source


async def _open(dialer: Dialer, url: RtmpUrl, _key: str, _to: Purpose, _rejections: RejectCounters) -> Connection:
    return await cast(Origins, dialer).call(url)


@frozen
class _Pull:
    """In the place of `Pull`."""

    client: Connection
    puller: Puller
    secrets: Sequence[str]
    silence_s: float

    async def read(self) -> NoReturn:
        await self.client.read(self.puller, self.silence_s)


def make_up_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pulls call `Origins`."""
    monkeypatch.setattr(edge_pulls, "open_client", _open)
    monkeypatch.setattr(edge_pulls, "Pull", _Pull)


@define(eq=False)
class Watcher:
    """A step of a node that wants a key, as long as nobody publishes it there: what it gets has to be one timeline."""

    key: StreamKey
    claims: StreamClaims
    origins: Origins
    pulls: EdgePulls = field(init=False)
    taker: Taker = field(factory=lambda: Taker(ChannelInbox(1), FakeStepContext()), init=False)
    pull: EdgePull | None = field(default=None, init=False)
    got: int | None = field(default=None, init=False)
    """The number of the show of which the last frame was."""
    got_at: float = field(default=0.0, init=False)
    _left: set[StreamId | None] = field(factory=set, init=False)
    """Streams that it did not want any more."""
    _stream: StreamId | None = field(default=None, init=False)
    _header: bytes = field(default=b"", init=False)
    _timestamp: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        dialer = cast(Dialer, self.origins)
        self.pulls = EdgePulls(self.claims, dialer, self.origins.random.random, RejectCounters(), OnAir())

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Watch, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.pulls.run)
            self.want()
            task_status.started()
            await self.read()

    async def read(self) -> None:
        """Look at all that comes, until cancelled."""
        while True:
            for event in await self.taker.inbox.receive():
                self._look_at(event)
            if self.origins.random.random() < SLOW:
                await trio.sleep(self.origins.random.uniform(0, SLOWEST_S))

    def want(self) -> None:
        """Nobody publishes the key here."""
        if self.pull is None:
            self.pull = self.pulls.want(self.key, self.taker, None)

    def leave(self) -> None:
        """Somebody publishes it here."""
        if self.pull is not None:
            self._left.add(self.pull.stream.stream_id)
            self.pulls.leave(self.pull, self.taker)
            self.pull = None

    def _look_at(self, event: MediaEvent) -> None:
        if isinstance(event, StreamStarted):
            assert self._stream is None, "two streams of one key"
            self._stream, self._header, self._timestamp = event.stream_id, b"", None
            return
        assert event.stream_id == self._stream, "of no stream that has begun"
        if isinstance(event, StreamEnded):
            patience = GRACE_SECONDS - SLOWEST_S
            is_overdue = trio.current_time() - self.got_at >= patience
            assert event.stream_id in self._left or is_overdue, "a stream ended that was wanted"
            self._stream = None
        elif isinstance(event, MediaPacket):
            self._look_at_packet(event)

    def _look_at_packet(self, packet: MediaPacket) -> None:
        show = packet.data[len(HEADER) :]
        if packet.is_sequence_header:
            self._header = show
            return
        assert show == self._header, "a frame that nobody can decode"
        last, self._timestamp = self._timestamp, packet.timestamp
        assert last is None or last == packet.timestamp or is_after(packet.timestamp, last), "time went back"
        self.got, self.got_at = int(show), trio.current_time()
