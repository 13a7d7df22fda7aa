"""A publish request that its client takes back while the step is about to allow it."""

from collections.abc import Sequence

import trio
from attrs import define, field
from trio.testing import MockClock, wait_all_tasks_blocked

from mmids_trio.media.events import MediaEvent, StreamId
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, Client
from mmids_trio.rtmp.server.registrations import Registration, Role
from mmids_trio.rtmp.server.server import RtmpServer
from mmids_trio.testing.clients import RtmpClient
from mmids_trio.testing.network import MemoryNetwork
from mmids_trio.testing.step_ends import FakeStepContext

LONG = 100
"""Seconds, more than any goodbye takes."""


@define(eq=False)
class Allowed:
    """A publication that notes how it ends; see `rtmp.endpoints.Publication`."""

    stream_id: StreamId = field(factory=lambda: StreamId("w/1/1"))
    token: str | None = None
    ends: list[str] = field(factory=list)

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Nobody sends."""
        raise AssertionError(f"it was never announced that it may send: {events}")

    takes_now = True

    def is_watched(self, now: float) -> bool:
        """By nobody."""
        return False

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """Nobody sends."""
        raise AssertionError(f"it was never announced that it may send: {events}")

    def end(self) -> None:
        """Noted."""
        self.ends.append("end")

    def vanish(self) -> None:
        """Noted."""
        self.ends.append("vanish")


@define(eq=False)
class SlowHandler:
    """Allows a publisher whatever has become of it meanwhile; see `rtmp.endpoints.PublishHandler`."""

    publication: Allowed = field(factory=Allowed)
    may_answer: trio.Event = field(factory=trio.Event)

    async def publish(self, key: str, client: Client, query: Query = NO_QUERY) -> Allowed:
        """See `PublishHandler`."""
        with trio.move_on_after(LONG, shield=True):
            await self.may_answer.wait()
        return self.publication


async def test_a_publisher_that_was_never_told_that_it_may_is_ended_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    network, handler = MemoryNetwork(), SlowHandler()
    server = RtmpServer(network)
    await nursery.start(server.run)
    async with server.serve(Registration(Role.PUBLISH, 1935, "live", "*"), FakeStepContext(), handler):
        client = await RtmpClient.connected(await network.connect(1935))
        client.connection.publish("key")
        await client.flush()
        with trio.move_on_after(1):
            await client.read_until_closed()
        await client.command("closeStream", None, stream=1)
        await wait_all_tasks_blocked()
        assert handler.publication.ends == []
        handler.may_answer.set()
        await wait_all_tasks_blocked()
        assert handler.publication.ends == ["end"]
        client.close()
        await trio.sleep(LONG)
    assert handler.publication.ends == ["end"]
    nursery.cancel_scope.cancel()
