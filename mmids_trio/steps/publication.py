"""One publisher's turn at a stream, and the stream over all its turns: what changes hands in a takeover.

Apart from `publishers`, which decides whose turn it is.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId
from mmids_trio.rtmp.endpoints import Client
from mmids_trio.steps.approval import Release
from mmids_trio.workflow.step import Outbox


@define(eq=False)
class Stream:
    """One stream, from its first publisher to its end. `source` feeds it now, or has fed it last."""

    stream_id: StreamId
    key: str
    source: "Publication"
    last_sent: float
    """When media came last, on trio's clock; when it began, where none have."""
    ends_at: float | None = None
    """When it ends unless a publisher comes back; `None` while it has one."""
    heard_at: float = 0.0
    """When its source sent media last, or became its source."""
    is_stalled: bool = False
    """Whether it has been said that its source sends nothing."""
    is_announced: bool = False
    """Whether later steps have been told that it has started."""
    _sends: int = field(default=0, init=False)
    _silent: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot, init=False)

    async def send(self, events: Sequence[MediaEvent], outbox: Outbox) -> None:
        """Hand media of its source on."""
        self._sends += 1
        try:
            await outbox.send(events)
        finally:
            self._sends -= 1
            self._silent.unpark_all()

    async def wait_silent(self) -> None:
        """Wait until nothing of a displaced source is under way any more; its client's task has been cancelled."""
        while self._sends:
            await self._silent.park()


class Owner(Protocol):
    """Who decides about streams: the publishers of a step."""

    @property
    def outbox(self) -> Outbox:
        """Where their media go."""

    def heard(self, stream: Stream, size: int) -> None:
        """Its source has sent `size` bytes of media."""

    def interrupt(self, stream: Stream) -> None:
        """Its source has vanished."""

    def end(self, stream: Stream) -> None:
        """It is over."""


def _nothing() -> None:
    """Lets go of nothing."""


@define(eq=False)
class Publication:
    """One publisher's turn at a stream; see `rtmp.endpoints.Publication`."""

    key: str
    client: Client
    owner: Owner
    stream: Stream | None = field(default=None, init=False)
    """Set when the key becomes its own."""
    release: Release = field(default=_nothing, init=False)
    """Lets go of the reactor's approval; the stream's, as long as it has no other source."""
    _has_left: bool = field(default=False, init=False)

    @property
    def stream_id(self) -> StreamId:
        assert self.stream is not None, "nobody has seen it before it had the key"
        return self.stream.stream_id

    @property
    def _is_source(self) -> bool:
        return self.stream is not None and self.stream.source is self

    @property
    def is_live(self) -> bool:
        """Whether what it sends is the stream."""
        return self._is_source and not self._has_left

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """What comes from a displaced publisher on its way out goes nowhere."""
        if self.stream is None or not self.is_live:
            await trio.lowlevel.checkpoint()
            return
        size = sum([len(event.data) for event in events if type(event) is MediaPacket])
        if size:
            self.owner.heard(self.stream, size)
            self.stream.last_sent = trio.current_time()
        await self.stream.send(events, self.owner.outbox)

    def end(self) -> None:
        self._leave(self.owner.end)

    def vanish(self) -> None:
        self._leave(self.owner.interrupt)

    def _leave(self, give_up: Callable[[Stream], None]) -> None:
        if self._has_left:
            return
        self._has_left = True
        if self.stream is not None and self._is_source:
            give_up(self.stream)
        else:
            self.let_go()

    def step_aside(self) -> None:
        """Another publisher has the key now."""
        if not self._has_left:
            self._has_left = True
            self.client.dismiss("another publisher has taken its stream key over")
        self.let_go()

    def revoke(self) -> None:
        """The reactor takes its approval back: the stream is over, whether its publisher is there or gone."""
        if self.stream is not None and self._is_source:
            self._has_left = True
            self.owner.end(self.stream)
        self.client.dismiss("the reactor does not approve of its stream any more")

    def let_go(self) -> None:
        """Release the approval; repeating it does nothing."""
        release, self.release = self.release, _nothing
        release()
