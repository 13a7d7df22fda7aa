"""What a step that takes clients is given, as objects that only note what happens to them."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import define, field

from mmids_trio.media.events import MediaEvent, StreamEnded, StreamId
from mmids_trio.metrics.counts import ReadCounts
from mmids_trio.reservation import Reservation
from mmids_trio.workflow.brought_streams import Now, Source, is_live
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.status import Clients, StreamStatus, Switched
from mmids_trio.workflow.step import ChangeInPlace, excludes_nobody

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

    def end_stream(self, stream_id: StreamId) -> None:
        """Noted among the events."""
        self.events.append(StreamEnded(stream_id))

    def restart_stream(self, stream_id: StreamId, gap: int) -> None:
        """Noted."""
        self.restarts.append((stream_id, gap))


@define(eq=False)
class Context:
    """See `workflow.step.StepContext`: step 1 of workflow `w`, whose reservations become claims at once."""

    workflow: str = "w"
    step_id: str = "1"
    happenings: list[object] = field(factory=list)

    def is_leaving(self, workflow: str, step_id: str) -> bool:
        """No step gives way."""
        return False

    def reserve(self, reservation: Reservation) -> None:
        """Commits at once."""
        reservation.commit()

    def publish(self, event: HubEvent) -> None:
        """Noted."""
        self.happenings.append(event)

    def accept_switch(self, switch_to: Callable[[str], Switched]) -> None:
        """Offered to nobody."""

    def show_streams(self, describe: Callable[[], Sequence[StreamStatus]]) -> None:
        """Shown to nobody."""

    def show_sources(self, source: Source, now: Now = is_live) -> None:
        """Shown to nobody."""

    def show_counts(self, read: ReadCounts) -> None:
        """Shown to nobody."""

    def show_clients(self, count: Callable[[], Clients]) -> None:
        """Shown to nobody."""

    def accept_parameters(
        self, prepare: Callable[[Any], ChangeInPlace], excluded: Callable[[Any], Clients] = excludes_nobody
    ) -> None:
        """Given by nobody."""
