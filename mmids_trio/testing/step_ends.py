"""What a workflow puts around a step, for tests of one step alone: inbox, outlets, and what it tells the step."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from attrs import define, field

from mmids_trio.media.events import StreamId
from mmids_trio.metrics.counts import Counts, ReadCounts, count_nothing
from mmids_trio.on_air.views import StreamWarning
from mmids_trio.reservation import Reservation
from mmids_trio.workflow.brought_streams import Now, Source, is_live
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.links import ChannelInbox, Outlet
from mmids_trio.workflow.status import NO_CLIENTS, Clients, StreamStatus, Switched
from mmids_trio.workflow.step import ChangeInPlace, excludes_nobody

__all__ = ["ChannelInbox", "FakeStepContext", "Outlet"]


@define(eq=False)
class FakeStepContext:
    """A `StepContext` without a workflow: it notes what the step does, and a test looks at it in the server's place.

    What the step reserves is committed at once.  `leaving`: workflow and id of the steps that give way.
    """

    workflow: str = "w"
    step_id: str = "1"
    leaving: Collection[tuple[str, str]] = ()
    events: list[HubEvent] = field(factory=list)
    """What the step has published."""
    reservations: list[Reservation] = field(factory=list)
    """What the step has reserved."""
    source: Source | None = field(default=None, init=False)
    now: Now = field(default=is_live, init=False)
    troubles: Callable[[StreamId], Iterable[StreamWarning]] = field(default=lambda _stream_id: (), init=False)
    """What it warns of where it sends a stream on."""
    switch_to: Callable[[str], Switched] | None = field(default=None, init=False)
    """How the step is switched, if it can be."""
    prepare: Callable[[Any], ChangeInPlace] | None = field(default=None, init=False)
    """How its parameters change while it runs, if they can."""
    excluded: Callable[[Any], Clients] = field(default=excludes_nobody, init=False)
    streams: Callable[[], Sequence[StreamStatus]] = field(default=tuple, init=False)
    """What the step shows of its streams."""
    clients: Callable[[], Clients] = field(default=lambda: NO_CLIENTS, init=False)
    """Clients who would be disconnected with the step."""
    counts: Callable[[], Counts] = field(default=count_nothing, init=False)
    """What `/metrics` would show."""

    def is_leaving(self, workflow: str, step_id: str) -> bool:
        """See `StepContext`."""
        return (workflow, step_id) in self.leaving

    def reserve(self, reservation: Reservation) -> None:
        """See `StepContext`. There is no change that would have to be waited for."""
        self.reservations.append(reservation)
        reservation.commit()

    def publish(self, event: HubEvent) -> None:
        """See `StepContext`."""
        self.events.append(event)

    def accept_switch(self, switch_to: Callable[[str], Switched]) -> None:
        """See `StepContext`."""
        self.switch_to = switch_to

    def accept_parameters(
        self, prepare: Callable[[Any], ChangeInPlace], excluded: Callable[[Any], Clients] = excludes_nobody
    ) -> None:
        """See `StepContext`."""
        self.prepare, self.excluded = prepare, excluded

    def show_streams(self, describe: Callable[[], Sequence[StreamStatus]]) -> None:
        """See `StepContext`."""
        self.streams = describe

    def show_sources(self, source: Source, now: Now = is_live) -> None:
        """See `StepContext`."""
        self.source, self.now = source, now

    def show_troubles(self, troubles: Callable[[StreamId], Iterable[StreamWarning]]) -> None:
        """See `StepContext`."""
        self.troubles = troubles

    def show_clients(self, count: Callable[[], Clients]) -> None:
        """See `StepContext`."""
        self.clients = count

    def show_counts(self, read: ReadCounts) -> None:
        """See `StepContext`."""
        self.counts = read
