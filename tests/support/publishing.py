"""What a step that takes clients is given, as objects that only note what happens to them."""

from collections.abc import Sequence

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId

WAIT_FOR_ALL = "settings {\ngrace_after 0\n}\n"
"""Interrupted streams are waited for however short they were: in tests many take no time."""


@define(eq=False)
class Guest:
    """See `rtmp.server.endpoints.Client`."""

    peer_host: str = "192.0.2.1"
    mark: object = field(factory=object)
    dismissals: int = 0

    def dismiss(self, reason: str = "") -> None:
        """Noted, nothing else."""
        self.dismissals += 1


@define(eq=False)
class Sink:
    """An outbox that takes everything, at an await."""

    events: list[MediaEvent] = field(factory=list)
    restarts: list[tuple[StreamId, int]] = field(factory=list)

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Takes them."""
        await trio.lowlevel.checkpoint()
        self.events += events

    takes_now = True

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """Takes them."""
        self.events += events

    def end_stream(self, stream_id: StreamId) -> None:
        """Noted among the events."""
        self.events.append(StreamEnded(stream_id))

    def restart_stream(self, stream_id: StreamId, gap: int) -> None:
        """Noted."""
        self.restarts.append((stream_id, gap))
