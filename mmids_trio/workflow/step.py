"""The contract between a step and the workflow that runs it; all that is needed to write a step.

    class DropAudio:
        flow = Flow.PASSES_ON

        async def run(self, inbox, outbox, *, task_status):
            task_status.started()
            while True:
                events = await inbox.receive()
                await outbox.send([event for event in events if not is_audio(event)])

A step owns whatever it needs (children, clients, sockets) inside `run`, in nurseries of its own, and has
let go of all of it when `run` ends.  It ends only when it is cancelled, or with a `StepError`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import trio
from attrs import frozen

from mmids_trio.media.events import MediaEvent, StreamId
from mmids_trio.media.flow import Flow
from mmids_trio.metrics.counts import ReadCounts
from mmids_trio.on_air.views import StreamWarning
from mmids_trio.reservation import Reservation
from mmids_trio.workflow.brought_streams import Now, Source, is_live
from mmids_trio.workflow.events import HubEvent
from mmids_trio.workflow.status import NO_CLIENTS, Clients, StreamStatus, Switched


class Inbox(Protocol):
    """Where a step reads; joined to the step before it by a bounded memory channel."""

    async def receive(self) -> Sequence[MediaEvent]:
        """Wait for media events and return all that are there, oldest first (never empty).

        For each stream the sequence is legal: started, then metadata and packets, then ended.
        """


class Outbox(Protocol):
    """Where a step writes. Several tasks of one step may use it at once."""

    async def send(self, events: Sequence[MediaEvent]) -> None:
        """Hand `events` to the next step; waits while that step's inbox is full (back-pressure).

        They arrive all or, when the wait is cancelled, none of them.
        """

    @property
    def takes_now(self) -> bool:
        """Whether `send` would not have to wait."""

    def send_nowait(self, events: Sequence[MediaEvent]) -> None:
        """As `send`, in no time; only where the outbox `takes_now`."""

    def end_stream(self, stream_id: StreamId) -> None:
        """Send `StreamEnded` at once, without waiting; for sources that go away. Unknown streams are ignored."""

    def restart_stream(self, stream_id: StreamId, gap: int) -> None:
        """The stream goes on from another source, `gap` milliseconds after its last frame.

        Later frames are joined to the timeline: they wait for a key frame, and their timestamps are moved.
        Call when no `send` of the old source waits any more.
        """


class Step(Protocol):
    """One running step."""

    @property
    def flow(self) -> Flow:
        """How the step treats streams; constant."""

    async def run(self, inbox: Inbox, outbox: Outbox, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled; `task_status.started()` means ready.

        Raises `StepError` with the reason when it cannot start or go on.
        """


def nothing_to_do() -> None:
    """Of a change that cuts nobody."""


@frozen
class ChangeInPlace:
    """How a running step comes to other parameters; made before anything changes.

    `take` puts them in force and returns what takes that back, should another step of the same change not be able to.
    `conclude` cuts the clients whom they exclude, when nothing is taken back any more.  Both are parts of the swap:
    synchronous.
    """

    take: Callable[[], Callable[[], None]]
    conclude: Callable[[], None] = nothing_to_do


def excludes_nobody(_parameters: object) -> Clients:
    """Of a step whose parameters keep nobody out."""
    return NO_CLIENTS


class StepContext(Protocol):
    """What the workflow tells a step about its place in the world."""

    @property
    def workflow(self) -> str:
        """Name of the workflow."""

    @property
    def step_id(self) -> str:
        """Identity of the step within its workflow."""

    def is_leaving(self, workflow: str, step_id: str) -> bool:
        """Whether that step gives way to the running change, so that what it claims may be reserved."""

    def reserve(self, reservation: Reservation) -> None:
        """Have `reservation` committed in the swap. Call before `task_status.started()`."""

    def publish(self, event: HubEvent) -> None:
        """Tell the server's subscribers what has happened (`workflow.events`). Never waits."""

    def accept_switch(self, switch_to: Callable[[str], Switched]) -> None:
        """Let operators switch the step to one of its sources, by name.

        `switch_to` returns what is sent then. It raises `errors.CannotSwitch` to say why that cannot be.
        """

    def accept_parameters(
        self, prepare: Callable[[Any], ChangeInPlace], excluded: Callable[[Any], Clients] = excludes_nobody
    ) -> None:
        """Let the parameters change that are declared `in_place`, while the step runs on. Call before it is ready.

        Both get an instance of the class of parameters.  `prepare` makes the change, touching nothing; it raises
        `StepError` where the step cannot work with them.  `excluded` says how many of the clients that there are the
        change would cut.
        """

    def show_streams(self, describe: Callable[[], Sequence[StreamStatus]]) -> None:
        """Have the workflow's details show what `describe` says of the step's streams (as a rule: nothing)."""

    def show_sources(self, source: Source, now: Now = is_live) -> None:
        """Have the list of streams show the step's: where each comes from, and how it is. Call before it is ready.

        A step that `PRODUCES` need not; then it is named itself.  `source` gives `None` for streams that only pass by.
        """

    def show_troubles(self, troubles: Callable[[StreamId], Iterable[StreamWarning]]) -> None:
        """Have the list of streams warn of what is wrong with a stream where the step sends it on."""

    def show_clients(self, count: Callable[[], Clients]) -> None:
        """Have plans show how many clients would be disconnected with the step."""

    def show_counts(self, read: ReadCounts) -> None:
        """Have `/metrics` show what `read` says, each under the workflow and the step besides its own labels.

        It is read when somebody looks, and once more when the step has ended.
        """


StepFactory = Callable[[StepContext], Step]
"""Builds a step, checked and ready to run, from the parameters it closes over."""
