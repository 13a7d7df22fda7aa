"""What an RTMP server needs of a step that takes publishers, with a note of all that comes."""

from collections.abc import Sequence

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, MediaPacket, StreamId
from mmids_trio.rtmp.protocol.requests import Query
from mmids_trio.rtmp.server.endpoints import NO_QUERY, Client


@define(eq=False)
class Stream:
    """The publication and the handler of a workflow; see `rtmp.server.endpoints`. `send` waits for room."""

    takes_now: bool
    stream_id: StreamId = field(factory=lambda: StreamId("w/1/1"))
    token: str | None = None
    story: list[object] = field(factory=list)
    has_room: trio.Event = field(factory=trio.Event)
    client: Client | None = None

    async def publish(self, key: str, client: Client, query: Query = NO_QUERY) -> "Stream":
        """See `PublishHandler`."""
        self.client = client
        await trio.lowlevel.checkpoint()
        return self

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Waits, as for a full inbox."""
        await self.has_room.wait()
        self._note(events)

    def is_watched(self, now: float) -> bool:
        """By nobody."""
        return False

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """Only where it takes now."""
        assert self.takes_now
        self._note(events)

    def _note(self, events: Sequence[MediaEvent]) -> None:
        self.story += [event.timestamp for event in events if isinstance(event, MediaPacket)]

    def end(self) -> None:
        """Noted."""
        self.story.append("end")

    def vanish(self) -> None:
        """Noted."""
        self.story.append("vanish")
